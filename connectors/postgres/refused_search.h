/// Finds the cells of many rows that a server refuses, asking it as little as possible: pure. Not for:
/// sending rows (sql_session).
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace millrace::postgres {

/// Rows to try at once; with `only`, of one column alone (every other cell NULL).
struct Trial final {
    size_t begin = 0;
    size_t end = 0;
    std::optional<size_t> only;
};

/// Why a trial failed, and where, if the server tells.
struct Refusal final {
    std::string sqlstate;
    /// Counted from Trial::begin.
    std::optional<size_t> row;
    std::optional<size_t> column;
};

/// Whether a value can be the reason of an error that a server reports while it reads rows.
bool IsValueState(std::string_view sqlstate);

/// Row and column in the context of a COPY error ("COPY name, line 3, column c2: …"); `column_index` knows
/// the names.
Refusal ReadContext(std::string_view context, std::string_view table,
                    const std::function<std::optional<size_t>(std::string_view)>& column_index);

class RefusedSearch final {
 public:
    /// nullopt: the server takes the rows, without those cells that were refused so far.
    using Try = std::function<absl::StatusOr<std::optional<Refusal>>(const Trial&)>;
    /// The cell is to be left out from now on. False: it has nothing to leave out.
    using Refuse = std::function<bool(size_t row, size_t column, const std::string& sqlstate)>;

    RefusedSearch(size_t rows, size_t columns, Try attempt, Refuse refuse);

    /// Internal, reason UNEXPECTED_ANSWER: a row is refused although each of its cells is taken.
    absl::Status Run();

 private:
    absl::Status SearchRow(size_t row);

    const size_t rows_;
    const size_t columns_;
    const Try try_;
    const Refuse refuse_;
};

}  // namespace millrace::postgres
