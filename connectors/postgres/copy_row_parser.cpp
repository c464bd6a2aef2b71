#include "connectors/postgres/copy_row_parser.h"

#include "base/status.h"
#include "base/text.h"

namespace millrace::postgres {
namespace {

// The server writes these letters; every other escaped character stands for itself.
char Escaped(char letter) {
    switch (letter) {
        case 'b':
            return '\b';
        case 'f':
            return '\f';
        case 'n':
            return '\n';
        case 'r':
            return '\r';
        case 't':
            return '\t';
        case 'v':
            return '\v';
        default:
            return letter;
    }
}

}  // namespace

sdk::Cell CopyRowParser::Unescape(std::string_view field) {
    const size_t begin = unescaped_.size();
    for (size_t i = 0; i < field.size(); ++i) {
        const bool escape = field[i] == '\\' && i + 1 < field.size();
        unescaped_.push_back(escape ? Escaped(field[++i]) : field[i]);
    }
    return sdk::Cell::Value(std::string_view(unescaped_).substr(begin));
}

absl::Status CopyRowParser::Parse(std::string_view line, size_t columns, std::vector<sdk::Cell>& cells) {
    if (!line.empty() && line.back() == '\n') {
        line.remove_suffix(1);
    }
    cells.clear();
    unescaped_.clear();
    // Cells must not move while the row grows.
    unescaped_.reserve(line.size());
    size_t at = 0;
    while (columns > 0) {
        const size_t tab = line.find('\t', at);
        const std::string_view field = line.substr(at, tab == std::string_view::npos ? tab : tab - at);
        if (field == "\\N") {
            cells.push_back(sdk::Cell::Null());
        } else if (field.find('\\') == std::string_view::npos) {
            cells.push_back(sdk::Cell::Value(field));
        } else {
            cells.push_back(Unescape(field));
        }
        if (tab == std::string_view::npos) {
            break;
        }
        at = tab + 1;
    }
    if (cells.size() != columns) {
        return base::MakeError(
            absl::StatusCode::kDataLoss, "COPY_MALFORMED",
            base::Concat("COPY sent a row of ", cells.size(), " fields where ", columns, " were expected"),
            "Copy the table again.");
    }
    return absl::OkStatus();
}

}  // namespace millrace::postgres
