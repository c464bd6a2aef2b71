#include "connectors/postgres/refused_search.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "base/status.h"
#include "base/text.h"

namespace millrace::postgres {
namespace {

constexpr size_t kFirstBlock = 4096;
constexpr size_t kLargestBlock = 65536;
constexpr size_t kSmallestBlock = 32;

}  // namespace

bool IsValueState(std::string_view sqlstate) {
    // Everything but connections, transactions, locks, resources, privileges and the server's own failures.
    constexpr std::array<std::string_view, 10> kOthers = {"08", "25", "28", "40", "53",
                                                          "55", "57", "58", "XX", "F0"};
    return sqlstate.size() == 5 && sqlstate != "42501" && sqlstate != "3D000" &&
           std::find(kOthers.begin(), kOthers.end(), sqlstate.substr(0, 2)) == kOthers.end();
}

Refusal ReadContext(std::string_view context, std::string_view table,
                    const std::function<std::optional<size_t>(std::string_view)>& column_index) {
    Refusal refusal;
    // Lines of the type's own come first; what stands behind ours may be the value.
    const std::string start = base::Concat("COPY ", table, ", line ");
    size_t at = 0;
    while (context.substr(at, start.size()) != start) {
        const size_t newline = context.find('\n', at);
        if (newline == std::string_view::npos) {
            return refusal;
        }
        at = newline + 1;
    }
    const std::string_view rest = context.substr(at + start.size());
    size_t line = 0;
    const char* const end = rest.data() + rest.size();
    const auto [after, error] = std::from_chars(rest.data(), end, line);
    if (error != std::errc() || line == 0) {
        return refusal;
    }
    refusal.row = line - 1;
    constexpr std::string_view kColumn = ", column ";
    const std::string_view place = rest.substr(static_cast<size_t>(after - rest.data()));
    if (place.substr(0, kColumn.size()) == kColumn) {
        const std::string_view name = place.substr(kColumn.size());
        refusal.column = column_index(name.substr(0, name.find(':')));
    }
    return refusal;
}

RefusedSearch::RefusedSearch(size_t rows, size_t columns, Try attempt, Refuse refuse)
    : rows_(rows), columns_(columns), try_(std::move(attempt)), refuse_(std::move(refuse)) {}

absl::Status RefusedSearch::Run() {
    size_t block = kFirstBlock;
    for (size_t at = 0; at < rows_;) {
        const size_t end = std::min(rows_, at + block);
        ASSIGN_OR_RETURN(const auto refusal, try_({.begin = at, .end = end, .only = {}}));
        if (!refusal) {
            at = end;
            block = std::min(block * 2, kLargestBlock);
            continue;
        }
        const bool told = refusal->row && at + *refusal->row < end;
        if (told && refusal->column && refuse_(at + *refusal->row, *refusal->column, refusal->sqlstate)) {
            // What stands before was read without complaint; the next one is most likely as far away.
            at += *refusal->row;
            block = std::clamp(2 * *refusal->row, kSmallestBlock, kLargestBlock);
        } else if (end - at == 1) {
            RETURN_IF_ERROR(SearchRow(at));
            ++at;
        } else {
            block = (end - at) / 2;
        }
    }
    return absl::OkStatus();
}

absl::Status RefusedSearch::SearchRow(size_t row) {
    bool found = false;
    for (size_t column = 0; column < columns_; ++column) {
        ASSIGN_OR_RETURN(const auto refusal, try_({.begin = row, .end = row + 1, .only = column}));
        found = (refusal && refuse_(row, column, refusal->sqlstate)) || found;
    }
    ASSIGN_OR_RETURN(const auto still, try_({.begin = row, .end = row + 1, .only = {}}));
    if (!found || still) {
        return base::MakeError(absl::StatusCode::kInternal, "UNEXPECTED_ANSWER",
                               "the server refuses a row whose values it takes one by one");
    }
    return absl::OkStatus();
}

}  // namespace millrace::postgres
