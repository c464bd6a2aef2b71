/// Applies dead letters of one table again. Not for: fencing and committing (merge_writer), keeping letters
/// (dead_letter_table).
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "connectors/sdk/sql/dead_letters.h"
#include "connectors/sdk/sql/merge_sql.h"
#include "connectors/sdk/sql/session.h"

namespace millrace::sql {

/// One use, inside the caller's transaction.
class DeadLetterReplay final {
 public:
    /// `schema` has a key; `sql` writes tables of that schema. All outlive the object.
    DeadLetterReplay(SqlSession& session, const MergeSql& sql, const sdk::SchemaPtr& schema)
        : session_(session), sql_(sql), schema_(schema) {}

    /// Writes what the destination takes now, and returns the indices of those letters. All letters of a key come
    /// together, older ones first. A cell whose row is not there, a column that is none any more and a key of
    /// another shape leave their letters as they are; so does a whole row while any of its cells is refused.
    absl::StatusOr<std::vector<size_t>> Apply(const std::vector<DeadLetter>& letters);
    /// The rows that Apply looked at, each under its key.
    [[nodiscard]] const sdk::Batch& batch() const { return batch_; }

 private:
    /// What the letters say of the row of one key.
    struct Row final {
        std::vector<size_t> letters;
        std::vector<std::string> key;
        std::map<size_t, std::optional<std::string>> cells;
        /// One of the letters is a whole row.
        bool whole = false;
    };

    void Collect(const std::vector<DeadLetter>& letters);
    bool ReadKey(const DeadLetter& letter, Row& row) const;
    bool ReadCells(const DeadLetter& letter, Row& row) const;
    [[nodiscard]] sdk::Batch MakeBatch() const;
    /// Takes out of the rows what `refused` names.
    void Refuse(const std::vector<RefusedCell>& refused);
    absl::Status Write(const std::set<size_t>& there);
    [[nodiscard]] std::vector<size_t> Columns(const DeadLetter& letter) const;

    SqlSession& session_;
    const MergeSql& sql_;
    const sdk::SchemaPtr& schema_;
    std::vector<Row> rows_;
    sdk::Batch batch_;
    /// Rows and columns that the destination still refuses; a refused key refuses every column.
    std::set<std::pair<size_t, size_t>> refused_;
};

}  // namespace millrace::sql
