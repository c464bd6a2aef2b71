/// `_millrace.columns`: which column of the source each column of a table was written from, beside the data.
/// Not for: types and keys, which the destination's own catalogue knows; positions (checkpoint_table).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "connectors/sdk/destination.h"
#include "connectors/sdk/sql/dialect.h"
#include "connectors/sdk/sql/session.h"

namespace millrace::sql {

/// A column of the destination that this stream has written.
struct WrittenColumn final {
    /// Of the source's column; 0 for one of a table that was dropped at the source and made again.
    int64_t source_id = 0;
    std::string name;
    /// The type that the source's column asked for then, in the destination's words.
    std::string type = {};
    /// The source has it no longer.
    bool dropped = false;

    friend bool operator==(const WrittenColumn&, const WrittenColumn&) = default;
};

/// The columns of one stream's table, as of its last change of shape.
struct WrittenColumns final {
    /// See TableSchema::source_table_id: column ids mean nothing in another table.
    uint64_t source_table_id = 0;
    std::vector<WrittenColumn> columns;

    [[nodiscard]] std::vector<std::string> Dropped() const;
    friend bool operator==(const WrittenColumns&, const WrittenColumns&) = default;
};

/// Statements on that table; owns nothing, to be made where it is used.
class ColumnTable final {
 public:
    ColumnTable(SqlSession& session, const Dialect& dialect, const sdk::StreamId& stream)
        : session_(session), dialect_(dialect), stream_(stream) {}

    /// Makes the table in a transaction of its own; safe with several writers at once, cheap when it exists.
    absl::Status Ensure();
    absl::StatusOr<WrittenColumns> Read();
    /// In the caller's transaction: `columns` instead of what stands there.
    absl::Status Write(const WrittenColumns& columns);
    /// Deletes what pipelines of this uid have there, in a transaction of its own; OK without the table.
    absl::Status RemovePipeline(const std::string& pipeline_uid);

 private:
    [[nodiscard]] std::string Name() const;
    [[nodiscard]] std::string Where() const;
    absl::StatusOr<bool> Exists();
    absl::Status Create();

    SqlSession& session_;
    const Dialect& dialect_;
    const sdk::StreamId& stream_;
};

}  // namespace millrace::sql
