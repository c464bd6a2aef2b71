#include "connectors/sdk/sql/checkpoint_table.h"

#include <chrono>

#include "absl/strings/numbers.h"
#include "absl/time/time.h"
#include "base/defect.h"
#include "base/status.h"
#include "base/text.h"

namespace millrace::sql {
namespace {

std::string Timestamp(absl::Time time) {
    return base::Concat("TIMESTAMPTZ '", absl::FormatTime("%E4Y-%m-%d %H:%M:%E6S", time, absl::UTCTimeZone()),
                        "+00'");
}

template <typename Number>
bool Parse(const std::optional<std::string>& text, Number& value) {
    uint64_t parsed = 0;
    if (!text || !absl::SimpleAtoi(*text, &parsed)) {
        return false;
    }
    value = static_cast<Number>(parsed);
    return true;
}

}  // namespace

std::string NowLiteral() {
    return Timestamp(absl::FromChrono(std::chrono::system_clock::now()));
}

std::string CheckpointTable::Name() const {
    return dialect_.Qualified({std::string(kSchema), std::string(kTable)});
}

std::string CheckpointTable::Where(const sdk::StreamId& stream) const {
    return base::Concat(" WHERE pipeline_uid = ", dialect_.QuoteLiteral(stream.pipeline_uid),
                        " AND topic = ", dialect_.QuoteLiteral(stream.topic));
}

absl::StatusOr<bool> CheckpointTable::Exists() {
    ASSIGN_OR_RETURN(const auto shape, session_.Describe({std::string(kSchema), std::string(kTable)}));
    return shape.has_value();
}

absl::Status CheckpointTable::Ensure() {
    ASSIGN_OR_RETURN(const bool exists, Exists());
    if (exists) {
        return absl::OkStatus();
    }
    return InTransaction(session_, "creating _millrace.checkpoints", [this] { return Create(); });
}

absl::Status CheckpointTable::Create() {
    if (const std::string lock = dialect_.DdlLock(); !lock.empty()) {
        RETURN_IF_ERROR(session_.Execute(lock).status());
    }
    // Some databases ask for the right to create even where IF NOT EXISTS has nothing to do.
    ASSIGN_OR_RETURN(const bool schema_exists, session_.SchemaExists(std::string(kSchema)));
    if (!schema_exists) {
        RETURN_IF_ERROR(
            session_.Execute(base::Concat("CREATE SCHEMA IF NOT EXISTS ", dialect_.QuoteIdentifier(kSchema)))
                .status());
    }
    const std::string number = dialect_.UnsignedType();
    return session_
        .Execute(base::Concat(
            "CREATE TABLE IF NOT EXISTS ", Name(),
            " (pipeline_uid TEXT NOT NULL, topic TEXT NOT NULL, pipeline TEXT, schema_name TEXT, table_name "
            "TEXT,"
            " next_offset BIGINT NOT NULL, commit_lsn ",
            number, " NOT NULL, seq ", number, " NOT NULL, epoch ", number,
            " NOT NULL, generation BIGINT NOT NULL, schema_id ", number,
            ", last_commit_time TIMESTAMPTZ, updated_at TIMESTAMPTZ, PRIMARY KEY (pipeline_uid, topic))"))
        .status();
}

absl::StatusOr<sdk::Checkpoint> CheckpointTable::TakeOver(const sdk::StreamId& stream,
                                                          const sdk::TableTarget& target) {
    auto checkpoint = RaiseEpoch(stream, target);
    const std::string ending = dialect_.EndStalledHolders(Name(), Where(stream));
    if (!absl::IsUnavailable(checkpoint.status()) || ending.empty()) {
        return checkpoint;
    }
    session_.Rollback();
    const auto ended = session_.Query(ending);
    // The connection may be what was lost, or there is nothing to end: then the first error says more.
    return ended.ok() && !ended->empty() ? RaiseEpoch(stream, target) : checkpoint;
}

absl::StatusOr<sdk::Checkpoint> CheckpointTable::RaiseEpoch(const sdk::StreamId& stream,
                                                            const sdk::TableTarget& target) {
    const auto text = [this](std::string_view value) { return dialect_.QuoteLiteral(value); };
    RETURN_IF_ERROR(session_.Begin());
    RETURN_IF_ERROR(
        session_
            .Execute(base::Concat(
                "INSERT INTO ", Name(),
                " (pipeline_uid, topic, pipeline, schema_name, table_name, next_offset, commit_lsn, seq,"
                " epoch, generation) VALUES (",
                text(stream.pipeline_uid), ", ", text(stream.topic), ", ", text(stream.pipeline), ", ",
                text(target.schema), ", ", text(target.table),
                ", 0, 0, 0, 0, 0) ON CONFLICT (pipeline_uid, topic) DO NOTHING"))
            .status());
    RETURN_IF_ERROR(session_
                        .Execute(base::Concat(
                            "UPDATE ", Name(), " SET epoch = epoch + 1, pipeline = ", text(stream.pipeline),
                            ", schema_name = ", text(target.schema), ", table_name = ", text(target.table),
                            ", updated_at = ", NowLiteral(), Where(stream)))
                        .status());
    ASSIGN_OR_RETURN(const auto checkpoint, Read(stream));
    if (!checkpoint) {
        return base::MakeError(absl::StatusCode::kAborted, "CHECKPOINT_LOST",
                               base::Concat("the checkpoint of ", target.DisplayName(),
                                            " was removed while it was being taken over"));
    }
    RETURN_IF_ERROR(session_.Commit());
    return *checkpoint;
}

absl::StatusOr<bool> CheckpointTable::Move(const sdk::StreamId& stream, const sdk::Checkpoint& known,
                                           const sdk::Batch& batch) {
    const std::string commit_time =
        batch.last_commit_time_us > 0
            ? Timestamp(absl::UnixEpoch() + absl::Microseconds(batch.last_commit_time_us))
            : "NULL";
    std::string fence = base::Concat(" AND epoch = ", known.epoch, " AND next_offset = ", known.next_offset);
    if (MILLRACE_DEFECT("apply-twice", 1)) {
        fence = base::Concat(" AND epoch = ", known.epoch);
    } else if (MILLRACE_DEFECT("ignore-fence", 1)) {
        fence.clear();
    }
    ASSIGN_OR_RETURN(const int64_t rows,
                     session_.Execute(base::Concat(
                         "UPDATE ", Name(), " SET next_offset = ", batch.next_offset,
                         ", commit_lsn = ", batch.last.commit, ", seq = ", batch.last.seq,
                         ", generation = ", batch.generation, ", schema_id = ", batch.schema->id,
                         ", last_commit_time = ", commit_time, ", updated_at = ", NowLiteral(), Where(stream), fence)));
    return rows == 1;
}

absl::StatusOr<bool> CheckpointTable::Hold(const sdk::StreamId& stream, const sdk::Checkpoint& known) {
    ASSIGN_OR_RETURN(const int64_t rows,
                     session_.Execute(base::Concat("UPDATE ", Name(), " SET updated_at = ", NowLiteral(),
                                                   Where(stream), " AND epoch = ", known.epoch,
                                                   " AND next_offset = ", known.next_offset)));
    return rows == 1;
}

absl::StatusOr<std::optional<sdk::Checkpoint>> CheckpointTable::Read(const sdk::StreamId& stream) {
    ASSIGN_OR_RETURN(const auto rows, session_.Query(base::Concat(
                                          "SELECT next_offset, commit_lsn, seq, epoch, generation, coalesce(schema_id, 0) FROM ",
                                          Name(), Where(stream))));
    if (rows.empty()) {
        return std::nullopt;
    }
    const SqlSession::Row& row = rows.front();
    sdk::Checkpoint checkpoint;
    if (row.size() != 6 || !Parse(row[0], checkpoint.next_offset) || !Parse(row[1], checkpoint.last.commit) ||
        !Parse(row[2], checkpoint.last.seq) || !Parse(row[3], checkpoint.epoch) ||
        !Parse(row[4], checkpoint.generation) || !Parse(row[5], checkpoint.schema_id)) {
        return base::MakeError(
            absl::StatusCode::kDataLoss, "CHECKPOINT_UNREADABLE",
            base::Concat("the row of topic ", stream.topic,
                         " in _millrace.checkpoints holds something else than numbers"),
            "Restore that table from a backup, or delete the row and copy the table anew.");
    }
    return checkpoint;
}

absl::StatusOr<bool> CheckpointTable::Covers(const std::string& pipeline_uid,
                                             const sdk::TableTarget& target) {
    ASSIGN_OR_RETURN(
        const auto rows,
        session_.Query(base::Concat("SELECT 1 FROM ", Name(),
                                    " WHERE pipeline_uid = ", dialect_.QuoteLiteral(pipeline_uid),
                                    " AND schema_name = ", dialect_.QuoteLiteral(target.schema),
                                    " AND table_name = ", dialect_.QuoteLiteral(target.table), " LIMIT 1")));
    return !rows.empty();
}

absl::StatusOr<std::vector<std::string>> CheckpointTable::Topics(const std::string& pipeline_uid) {
    std::vector<std::string> topics;
    ASSIGN_OR_RETURN(const bool exists, Exists());
    if (!exists) {
        return topics;
    }
    ASSIGN_OR_RETURN(const auto rows, session_.Query(base::Concat("SELECT topic FROM ", Name(), " WHERE pipeline_uid = ",
                                                                  dialect_.QuoteLiteral(pipeline_uid))));
    for (const SqlSession::Row& row : rows) {
        if (!row.empty() && row[0]) {
            topics.push_back(*row[0]);
        }
    }
    return topics;
}

absl::Status CheckpointTable::Remove(const std::string& pipeline_uid) {
    ASSIGN_OR_RETURN(const bool exists, Exists());
    if (!exists) {
        return absl::OkStatus();
    }
    return InTransaction(session_, "removing checkpoints", [&] {
        return session_
            .Execute(base::Concat("DELETE FROM ", Name(),
                                  " WHERE pipeline_uid = ", dialect_.QuoteLiteral(pipeline_uid)))
            .status();
    });
}

}  // namespace millrace::sql
