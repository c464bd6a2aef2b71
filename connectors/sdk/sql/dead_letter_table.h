/// `_millrace.dead_letters`: the values that the destination could not hold, beside the data. Not for:
/// deciding which those are (dead_letters.h, session.h).
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "connectors/sdk/destination.h"
#include "connectors/sdk/sql/dead_letters.h"
#include "connectors/sdk/sql/dialect.h"
#include "connectors/sdk/sql/session.h"

namespace millrace::sql {

/// Statements on the letters of one stream; owns nothing, to be made where it is used. Everything but Ensure
/// runs in the caller's transaction, if there is one.
class DeadLetterTable final {
 public:
    static constexpr std::string_view kTable = "dead_letters";

    DeadLetterTable(SqlSession& session, const Dialect& dialect, const sdk::StreamId& stream)
        : session_(session), dialect_(dialect), stream_(stream) {}

    /// Makes the table in a transaction of its own; safe with several writers at once, cheap when it exists.
    /// The schema must exist (CheckpointTable::Ensure).
    absl::Status Ensure();

    absl::StatusOr<int64_t> Count();

    /// Removes the letters that `batch` makes obsolete, and lets those of cells that moved on unchanged
    /// follow their row. Returns how many were removed.
    absl::StatusOr<int64_t> Supersede(const sdk::Batch& batch);

    /// Letters of a column, and of rows whose key it is in, follow its new name.
    absl::Status RenameColumn(const std::string& from, const std::string& to);

    absl::Status Add(const sdk::TableTarget& target, const std::vector<DeadLetter>& letters);

    /// Those of tables with a key, by key and age: `limit` of them after the first `skip`.
    absl::StatusOr<std::vector<DeadLetter>> Read(int64_t skip, int64_t limit);
    /// Removes letters of a table with a key as Read gave them; returns how many.
    absl::StatusOr<int64_t> Remove(const std::vector<DeadLetter>& letters);

 private:
    absl::Status Create();
    /// `condition` goes on after the WHERE.
    absl::StatusOr<std::vector<DeadLetter>> Select(const std::string& condition);
    [[nodiscard]] std::string Name() const;
    [[nodiscard]] std::string Where() const;
    absl::Status SetAside(const sdk::Batch& batch, const std::vector<int>& key);
    absl::StatusOr<int64_t> Remove(const std::vector<std::string>& keys, const std::string& condition);
    /// Takes out of whole rows what `batch` says of them; returns how many of them have nothing left.
    absl::StatusOr<int64_t> Shorten(const sdk::Batch& batch, const std::vector<int>& key);
    absl::StatusOr<int64_t> Shorten(const DeadLetter& letter, const std::set<std::string>& said);

    SqlSession& session_;
    const Dialect& dialect_;
    const sdk::StreamId& stream_;
};

}  // namespace millrace::sql
