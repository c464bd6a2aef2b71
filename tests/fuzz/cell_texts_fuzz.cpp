// Texts of cells on their way into DuckDB, names of its types, and a server's words about a refused row.
#include <optional>
#include <string>

#include "connectors/duckdb/engine.h"
#include "connectors/duckdb/type_map.h"
#include "connectors/postgres/refused_search.h"
#include "connectors/sdk/sql/dead_letters.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using namespace millrace;
using duckdb::CellForm;

std::string_view Rewrite(CellForm form, int scale, std::string_view text, std::string& scratch, bool& taken) {
    std::string_view result;
    taken = duckdb::RewriteCell(form, scale, text, scratch, result);
    return result;
}

void CheckBytes(std::string_view text) {
    std::string scratch;
    bool taken = false;
    const std::string_view bytes = Rewrite(CellForm::kBytes, 0, text, scratch, taken);
    if (!taken) {
        return;
    }
    std::string again = "\\x";
    for (const char c : bytes) {
        constexpr char kDigits[] = "0123456789abcdef";
        const auto byte = static_cast<unsigned char>(c);
        again += kDigits[byte >> 4U];
        again += kDigits[byte & 15U];
    }
    std::string lower(text);
    for (char& c : lower) {
        c = c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
    }
    fuzz::Require(again == lower, "bytes are those of the text");
}

void CheckForms(fuzz::Input& input) {
    const int scale = input.Byte() % 39;
    const std::string_view text = input.rest();
    std::string scratch;
    bool taken = false;
    fuzz::Require(Rewrite(CellForm::kText, scale, text, scratch, taken) == text && taken, "text stays");
    const std::string_view decimal = Rewrite(CellForm::kDecimal, scale, text, scratch, taken);
    const size_t point = text.find('.');
    fuzz::Require(decimal == text, "a number stays");
    fuzz::Require(taken == (point == std::string_view::npos || text.size() - point - 1 <= static_cast<size_t>(scale)),
                  "no digit of a number is rounded away");
    const std::string before(Rewrite(CellForm::kCalendar, scale, text, scratch, taken));
    fuzz::Require(taken && (text.ends_with(" BC") ? before.find(" (BC)") != std::string::npos && before.size() == text.size() + 2
                                                  : before == text),
                  "an era is moved and nothing else");
    const std::string_view interval = Rewrite(CellForm::kInterval, scale, text, scratch, taken);
    fuzz::Require(taken && interval.find('+') == std::string_view::npos, "an interval has no plus");
    CheckBytes(text);
    CheckBytes("\\x" + std::string(text));
}

void CheckTypes(fuzz::Input& input) {
    const std::string existing(input.Piece());
    const std::string wanted(input.rest());
    fuzz::Require(duckdb::CompareTypes(existing, existing) == sql::TypeFit::kFits, "a type fits itself");
    (void)duckdb::CompareTypes(existing, wanted);
    (void)duckdb::FormFor(existing);
    (void)duckdb::ScaleOf(existing);
}

void CheckContext(fuzz::Input& input) {
    const std::string table(input.Piece());
    const std::string text(input.rest());
    const auto index = [](std::string_view name) {
        return name.starts_with('c') ? std::optional<size_t>(name.size()) : std::nullopt;
    };
    (void)postgres::ReadContext(text, table, index);
    const auto refusal = postgres::ReadContext("COPY " + table + ", line 3, column c2: \"" + text + "\"", table, index);
    fuzz::Require(table.find('\n') != std::string::npos || (refusal.row == 2U && refusal.column == 2U),
                  "whatever the value, row and column are found");
}

void CheckJson(std::string_view text) {
    const std::string json = sql::JsonText(text);
    fuzz::Require(json.size() >= 2 && json.front() == '"' && json.back() == '"', "a string is quoted");
    for (const char c : json) {
        fuzz::Require(c >= 0x20 && c < 0x7f, "a dead letter is plain ASCII");
    }
    // Escapes of the low half alone stand for bytes that are no characters; a surrogate pair has a high half before it.
    bool bytes = false;
    for (size_t at = json.find("\\u"); at != std::string::npos; at = json.find("\\u", at + 6)) {
        const bool low = json[at + 2] == 'd' && json[at + 3] >= 'c';
        // U+D7FF is a character of its own: a high half begins with d8 to db.
        const bool paired = at >= 7 && json[at - 6] == '\\' && json[at - 5] == 'u' && json[at - 4] == 'd' &&
                            std::string_view("89ab").find(json[at - 3]) != std::string_view::npos;
        bytes = bytes || (low && !paired);
    }
    fuzz::Require(text.find('\\') != std::string_view::npos || bytes != duckdb::IsUtf8(text),
                  "characters are whole where the text is UTF-8, and only there");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    fuzz::Input input(data, size);
    switch (input.Byte() % 4) {
        case 0:
            CheckForms(input);
            break;
        case 1:
            CheckTypes(input);
            break;
        case 2:
            CheckContext(input);
            break;
        default:
            CheckJson(input.rest());
    }
    return 0;
}
