/// Contract of a destination: applies batches atomically and idempotently and keeps each table's checkpoint beside the
/// data. Not for: reading Kafka, folding, retrying (data-plane/apply).
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "connectors/sdk/batch.h"
#include "connectors/sdk/finding.h"
#include "connectors/sdk/options.h"

namespace millrace::sdk {

/// Identity of one table's stream; the checkpoint's primary key is (pipeline uid, topic).
struct StreamId final {
    /// "tenants/{t}/pipelines/{p}", for people.
    std::string pipeline;
    /// Differs for a pipeline made again under the same name.
    std::string pipeline_uid;
    std::string topic;
};

struct TableTarget final {
    std::string schema;
    std::string table;
    [[nodiscard]] std::string DisplayName() const { return schema + "." + table; }
};

/// Where a table stands: a row of `_millrace.checkpoints`.
struct Checkpoint final {
    /// Next Kafka offset to apply; 0 for a table never touched.
    int64_t next_offset = 0;
    Position last;
    uint64_t epoch = 0;
    uint32_t generation = 0;
    /// Values of the table that stand in `_millrace.dead_letters`.
    int64_t dead_letters = 0;
    /// See ApplyResult.
    std::vector<std::string> dropped_columns = {};
    /// Of the last batch; 0 when there was none.
    uint64_t schema_id = 0;
};

/// A type of the destination's own that was added to, in words for people.
struct TypeChange final {
    std::string before;
    std::string after;
};

/// What came of dead letters that were applied again.
struct ReplayResult final {
    int64_t applied = 0;
    /// Those that stand now.
    int64_t standing = 0;
};

struct ApplyResult final {
    int64_t rows_written = 0;
    int64_t rows_deleted = 0;
    /// Unchanged cells for which the destination had no row.
    int64_t holes = 0;
    /// The batch had been applied before (a retry after an unknown COMMIT outcome).
    bool already_applied = false;
    /// The batch was to be appended, and a row of it stood there already, as a destination that keeps keys unique can tell: it
    /// was merged. Append no more.
    bool merged_instead = false;
    /// Values that this batch added to `_millrace.dead_letters`, by column; "" for whole rows.
    std::map<std::string, int64_t> dead_letters = {};
    /// Values of the table that stand there after the batch.
    int64_t dead_letters_standing = 0;
    /// Columns of the table that the source has no longer and that stand at the destination.
    std::vector<std::string> dropped_columns = {};
    /// Types that were made to take the batch's values.
    std::vector<TypeChange> types_changed = {};
};

/// One table of one pipeline. Used by one thread at a time, not always the same.
class TableWriter {
  public:
    virtual ~TableWriter() = default;

    /// Takes the table over: creates its checkpoint row if missing, raises the epoch, so that every older writer is
    /// refused from now on, and returns where to go on.
    virtual absl::StatusOr<Checkpoint> TakeOver() = 0;

    /// Applies `batch` in one transaction: fence and checkpoint, truncate, additive DDL for batch.schema, stage, resolve
    /// unchanged cells, delete keys, insert. Durable on return. Idempotent: a batch whose next_offset the checkpoint has
    /// reached under our epoch is reported as already_applied.
    /// A batch that rewinds is told by its exact place instead.
    /// Aborted, reason FENCED: a newer epoch owns the table; stop. Unavailable / Aborted otherwise: retry the same batch.
    /// Values that a column cannot hold are treated as batch.refused says.
    /// ResourceExhausted: retry, smaller. FailedPrecondition, PermissionDenied, …: hold the table and show the remedy.
    virtual absl::StatusOr<ApplyResult> Apply(const Batch& batch) = 0;

    /// Drops those of `names` that the source dropped before (see ApplyResult::dropped_columns), in a transaction of its
    /// own that is fenced as Apply is; returns those that still stand. FailedPrecondition: something depends on one.
    virtual absl::StatusOr<std::vector<std::string>> DropColumns(const std::vector<std::string>& /*names*/) {
        return absl::UnimplementedError("this destination drops no columns");
    }

    /// Applies the table's dead letters again, as far as it takes them now; `schema`: that of the last batch. What stands
    /// is current (a later change removes the letters that it makes obsolete), so no older value is ever written over a
    /// newer one. Each part of the letters is applied in one transaction under our epoch. Errors as of Apply; what was
    /// applied before one stays. Default: there are none.
    virtual absl::StatusOr<ReplayResult> ReplayDeadLetters(const SchemaPtr& schema) {
        static_cast<void>(schema);
        return ReplayResult{};
    }
};

struct FlushDefaults final {
    int64_t rows = 100'000;
    base::ByteCount bytes = base::ByteCount::MiB(16);
    /// Longest time that a change waits for others before it is applied; zero applies whatever is there.
    std::chrono::milliseconds interval{0};
};

/// One destination of one pipeline. Thread-safe; outlives its writers.
class Destination {
  public:
    virtual ~Destination() = default;

    /// Connects, may create schemas and tables, may write; each of `tables` (as the pipeline `stream` would write them)
    /// either does not exist, is empty, or has a checkpoint of this pipeline (else DST_NOT_EMPTY, critical). Leaves
    /// nothing behind.
    virtual Findings Preflight(const StreamId& stream, const std::vector<TableTarget>& tables) = 0;

    /// Names the running database: one that is source and destination of a pipeline would be replicated into itself. "" when
    /// it can be no source.
    virtual absl::StatusOr<std::string> Place() { return std::string(); }

    /// Does not connect.
    virtual absl::StatusOr<std::unique_ptr<TableWriter>> OpenTable(const TableTarget& target, const StreamId& stream) = 0;

    [[nodiscard]] virtual FlushDefaults flush_defaults() const = 0;

    /// Deletes the pipeline's checkpoints (user tables stay); idempotent.
    virtual absl::Status Remove(const std::string& pipeline_uid) = 0;
};

}  // namespace millrace::sdk
