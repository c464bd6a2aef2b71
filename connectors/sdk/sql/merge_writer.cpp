#include "connectors/sdk/sql/merge_writer.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "base/defect.h"
#include "base/failpoint.h"
#include "base/status.h"
#include "base/text.h"
#include "connectors/sdk/sql/checkpoint_table.h"
#include "connectors/sdk/sql/column_table.h"
#include "connectors/sdk/sql/dead_letter_replay.h"
#include "connectors/sdk/sql/dead_letter_table.h"
#include "connectors/sdk/sql/dead_letters.h"
#include "connectors/sdk/sql/merge_sql.h"
#include "connectors/sdk/sql/schema_plan.h"

namespace millrace::sql {
namespace {

// Above this a script of literals costs the server more than a stage does.
constexpr size_t kInlineBytes = 64 * 1024;
/// Fewer rows to append are merged with the others: a load of its own would cost more.
constexpr int64_t kAppendedApart = 200;
constexpr int64_t kReplayLetters = 500;
constexpr int kConflictTries = 5;
constexpr std::chrono::milliseconds kConflictPause{10};

absl::Status Run(SqlSession& session, const std::string& sql) {
    return session.Execute(sql).status();
}

int64_t FreshRows(const sdk::Batch& batch) {
    return std::ranges::count_if(batch.rows, [](const sdk::BatchRow& row) { return row.fresh; });
}

// Rows that a copy appends may stand there after all: somebody has written them.
bool StandsThere(const sdk::Batch& batch, const absl::Status& status) {
    const std::string reason = base::ReasonOf(status);
    // The rows are looked at after a conflict only, not after each batch that went well.
    return (reason == "KEY_CONFLICT" || reason == "CONSTRAINT") &&
           ((batch.append && !batch.schema->append_only) || FreshRows(batch) > 0);
}

// Somebody may have altered the table since this writer looked at it; and a refused value of a script of
// literals has no column, while that of a load has one.
bool MayHealOrTellMore(const absl::Status& status) {
    return absl::IsNotFound(status) || absl::IsFailedPrecondition(status);
}

/// Two tables that are made at the same time may get into each other's way where the database locks nothing beforehand.
template <typename Attempt>
auto RepeatOnConflict(SqlSession& session, const Attempt& attempt) {
    auto result = attempt();
    for (int tries = 0; tries < kConflictTries && base::ReasonOf(result.status()) == "CONFLICT"; ++tries) {
        session.Rollback();
        std::this_thread::sleep_for(kConflictPause * (tries + 1));
        result = attempt();
    }
    return result;
}

/// The next letters, never a part of those of one key.
absl::StatusOr<std::vector<DeadLetter>> ReadWholeKeys(DeadLetterTable& table, int64_t skip) {
    for (int64_t limit = kReplayLetters;; limit *= 2) {
        ASSIGN_OR_RETURN(std::vector<DeadLetter> letters, table.Read(skip, limit));
        if (static_cast<int64_t>(letters.size()) < limit) {
            return letters;
        }
        const std::string last = letters.back().key;
        std::erase_if(letters, [&](const DeadLetter& letter) { return letter.key == last; });
        if (!letters.empty()) {
            return letters;
        }
    }
}

}  // namespace

MergeWriter::MergeWriter(SessionProvider& sessions, const Dialect& dialect, sdk::TableTarget target,
                         sdk::StreamId stream)
    : sessions_(sessions), dialect_(dialect), target_(std::move(target)), stream_(std::move(stream)) {}

absl::StatusOr<sdk::Checkpoint> MergeWriter::TakeOver() {
    ASSIGN_OR_RETURN(const SessionLease session, sessions_.Acquire());
    auto checkpoint = RepeatOnConflict(*session, [&] { return TakeOverWith(*session); });
    if (!checkpoint.ok()) {
        session->Rollback();
        return base::Annotate(checkpoint.status(), base::Concat("taking over ", target_.DisplayName()));
    }
    checkpoint_ = *checkpoint;
    dead_letters_ = checkpoint->dead_letters;
    dropped_columns_ = checkpoint->dropped_columns;
    prepared_.reset();
    // After the older writer was locked out.
    ASSIGN_OR_RETURN(resyncing_, SeenKeys(*session, dialect_, stream_).Exist());
    return checkpoint;
}

absl::StatusOr<sdk::Checkpoint> MergeWriter::TakeOverWith(SqlSession& session) {
    CheckpointTable checkpoints(session, dialect_);
    RETURN_IF_ERROR(checkpoints.Ensure());
    DeadLetterTable letters(session, dialect_, stream_);
    RETURN_IF_ERROR(letters.Ensure());
    ColumnTable columns(session, dialect_, stream_);
    RETURN_IF_ERROR(columns.Ensure());
    ASSIGN_OR_RETURN(sdk::Checkpoint checkpoint, checkpoints.TakeOver(stream_, target_));
    // After the older writer was locked out.
    ASSIGN_OR_RETURN(checkpoint.dead_letters, letters.Count());
    ASSIGN_OR_RETURN(const WrittenColumns written, columns.Read());
    checkpoint.dropped_columns = written.Dropped();
    return checkpoint;
}

absl::StatusOr<sdk::ApplyResult> MergeWriter::Apply(const sdk::Batch& batch) {
    if (!checkpoint_) {
        return base::MakeError(
            absl::StatusCode::kInternal, "NOT_TAKEN_OVER",
            base::Concat("a batch of ", target_.DisplayName(), " came before its take-over"));
    }
    ASSIGN_OR_RETURN(const BatchProfile profile, ProfileBatch(batch));
    ASSIGN_OR_RETURN(const SessionLease session, sessions_.Acquire());
    auto result = RepeatOnConflict(*session, [&] {
        auto applied = ApplyWith(*session, batch, profile, Care::kQuick);
        if (base::ReasonOf(applied.status()) == "CONFLICT") {
            prepared_.reset();
        }
        return applied;
    });
    if (!StandsThere(batch, result.status())) {
        result = Heal(*session, batch, profile, std::move(result));
    }
    if (StandsThere(batch, result.status())) {
        session->Rollback();
        prepared_.reset();
        sdk::Batch merged = batch;
        merged.append = false;
        result = Heal(*session, merged, profile, ApplyWith(*session, merged, profile, Care::kThorough));
        if (result.ok()) {
            result->merged_instead = true;
        }
    }
    return result;
}

absl::StatusOr<sdk::ApplyResult> MergeWriter::Heal(SqlSession& session, const sdk::Batch& batch, const BatchProfile& profile,
                                                   absl::StatusOr<sdk::ApplyResult> result) {
    if (!result.ok() && MayHealOrTellMore(result.status())) {
        session.Rollback();
        prepared_.reset();
        result = ApplyWith(session, batch, profile, Care::kThorough);
    }
    if (base::ReasonOf(result.status()) == "VALUE_REJECTED") {
        session.Rollback();
        auto admitted = session.AdmitValues(target_, dialect_.ColumnNames(*batch.schema), batch);
        if (admitted.ok() && !admitted->empty()) {
            prepared_.reset();
            result = ApplyWith(session, batch, profile, Care::kThorough);
            if (result.ok()) {
                result->types_changed = *std::move(admitted);
            }
        }
    }
    if (base::ReasonOf(result.status()) == "VALUE_REJECTED" && batch.refused != sdk::RefusedValues::kHold) {
        session.Rollback();
        prepared_.reset();
        result = ApplyWith(session, batch, profile, Care::kCellByCell);
    }
    if (!result.ok()) {
        session.Rollback();
        // What was made in this transaction is gone.
        prepared_.reset();
        return base::Annotate(result.status(), base::Concat("applying to ", target_.DisplayName()));
    }
    return result;
}

absl::StatusOr<sdk::ApplyResult> MergeWriter::ApplyWith(SqlSession& session, const sdk::Batch& batch,
                                                        const BatchProfile& profile, Care care) {
    RETURN_IF_ERROR(session.Begin());
    MILLRACE_FAILPOINT("merge.after_begin");
    CheckpointTable checkpoints(session, dialect_);
    bool moved = false;
    if (batch.rewinds || batch.next_offset > checkpoint_->next_offset) {
        ASSIGN_OR_RETURN(moved, checkpoints.Move(stream_, *checkpoint_, batch));
    }
    if (!moved) {
        ASSIGN_OR_RETURN(checkpoint_, ExplainFence(session, batch));
        session.Rollback();
        ASSIGN_OR_RETURN(dead_letters_, DeadLetterTable(session, dialect_, stream_).Count());
        ASSIGN_OR_RETURN(const WrittenColumns written, ColumnTable(session, dialect_, stream_).Read());
        dropped_columns_ = written.Dropped();
        ASSIGN_OR_RETURN(resyncing_, SeenKeys(session, dialect_, stream_).Exist());
        prepared_.reset();
        return sdk::ApplyResult{.already_applied = true,
                                .dead_letters_standing = dead_letters_,
                                .dropped_columns = dropped_columns_};
    }
    MILLRACE_FAILPOINT("merge.after_checkpoint_moved");
    if (MILLRACE_DEFECT("checkpoint-ahead", 1)) {
        RETURN_IF_ERROR(session.Commit());
        RETURN_IF_ERROR(session.Begin());
    }
    sdk::ApplyResult result;
    result.dead_letters_standing = dead_letters_;
    RETURN_IF_ERROR(Prepare(session, batch, care));
    MILLRACE_FAILPOINT("merge.after_prepare");
    RETURN_IF_ERROR(TendResync(session, batch));
    if (dead_letters_ > 0) {
        ASSIGN_OR_RETURN(const int64_t removed, DeadLetterTable(session, dialect_, stream_).Supersede(batch));
        result.dead_letters_standing -= removed;
    }
    RETURN_IF_ERROR(care == Care::kCellByCell ? WriteSorted(session, batch, result)
                                              : WriteRows(session, batch, profile, care, result));
    if (prepared_->resyncing && batch.resync_ends) {
        MILLRACE_FAILPOINT("merge.before_resync_end");
        ASSIGN_OR_RETURN(const int64_t removed, SeenKeys(session, dialect_, stream_).EndWithout(prepared_->key, target_));
        result.rows_deleted += removed;
        prepared_->resyncing = false;
    }
    if (prepared_->resyncing && batch.resync_cancelled) {
        RETURN_IF_ERROR(SeenKeys(session, dialect_, stream_).Drop());
        prepared_->resyncing = false;
    }
    MILLRACE_FAILPOINT("merge.before_sql_commit");
    RETURN_IF_ERROR(session.Commit());
    MILLRACE_FAILPOINT("merge.after_sql_commit");
    dead_letters_ = result.dead_letters_standing;
    resyncing_ = prepared_->resyncing;
    dropped_columns_ = prepared_->dropped_columns;
    result.dropped_columns = dropped_columns_;
    checkpoint_->next_offset = batch.next_offset;
    checkpoint_->last = batch.last;
    checkpoint_->generation = batch.generation;
    checkpoint_->schema_id = batch.schema->id;
    return result;
}

absl::StatusOr<std::vector<std::string>> MergeWriter::DropColumns(const std::vector<std::string>& names) {
    if (!checkpoint_) {
        return base::MakeError(
            absl::StatusCode::kInternal, "NOT_TAKEN_OVER",
            base::Concat("columns of ", target_.DisplayName(), " are dropped before its take-over"));
    }
    ASSIGN_OR_RETURN(const SessionLease session, sessions_.Acquire());
    prepared_.reset();
    if (const absl::Status status = DropWith(*session, names); !status.ok()) {
        session->Rollback();
        return base::Annotate(status, base::Concat("dropping columns of ", target_.DisplayName()));
    }
    return dropped_columns_;
}

absl::Status MergeWriter::DropWith(SqlSession& session, const std::vector<std::string>& names) {
    RETURN_IF_ERROR(session.Begin());
    RETURN_IF_ERROR(HoldCheckpoint(session));
    ColumnTable columns(session, dialect_, stream_);
    ASSIGN_OR_RETURN(WrittenColumns written, columns.Read());
    const auto goes = [&](const WrittenColumn& column) {
        return column.dropped && std::ranges::find(names, column.name) != names.end();
    };
    for (const WrittenColumn& column : written.columns) {
        if (goes(column)) {
            RETURN_IF_ERROR(
                Run(session, base::Concat("ALTER TABLE ", dialect_.Qualified(target_), " DROP COLUMN ",
                                          dialect_.QuoteIdentifier(column.name))));
        }
    }
    std::erase_if(written.columns, goes);
    RETURN_IF_ERROR(columns.Write(written));
    RETURN_IF_ERROR(session.Commit());
    dropped_columns_ = written.Dropped();
    return absl::OkStatus();
}

absl::StatusOr<sdk::ReplayResult> MergeWriter::ReplayDeadLetters(const sdk::SchemaPtr& schema) {
    if (!checkpoint_) {
        return base::MakeError(
            absl::StatusCode::kInternal, "NOT_TAKEN_OVER",
            base::Concat("a replay of ", target_.DisplayName(), " came before its take-over"));
    }
    sdk::ReplayResult result{.applied = 0, .standing = dead_letters_};
    // Without a key nobody can tell which row a letter belongs to.
    if (dead_letters_ == 0 || schema->KeyColumns().empty()) {
        return result;
    }
    ASSIGN_OR_RETURN(const SessionLease session, sessions_.Acquire());
    const absl::Status status = Replay(*session, schema, result);
    session->Rollback();
    prepared_.reset();
    if (!status.ok()) {
        return base::Annotate(status, base::Concat("replaying dead letters of ", target_.DisplayName()));
    }
    return result;
}

absl::Status MergeWriter::Replay(SqlSession& session, const sdk::SchemaPtr& schema, sdk::ReplayResult& result) {
    int64_t stayed = 0;
    while (true) {
        const int64_t before = result.applied;
        ASSIGN_OR_RETURN(const int64_t looked, ReplayPart(session, schema, stayed, result));
        if (looked == 0) {
            return absl::OkStatus();
        }
        stayed += looked - (result.applied - before);
    }
}

absl::StatusOr<int64_t> MergeWriter::ReplayPart(SqlSession& session, const sdk::SchemaPtr& schema, int64_t stayed,
                                                sdk::ReplayResult& result) {
    RETURN_IF_ERROR(session.Begin());
    RETURN_IF_ERROR(HoldCheckpoint(session));
    sdk::Batch nothing;
    nothing.schema = schema;
    DeadLetterTable table(session, dialect_, stream_);
    // A part whose COMMIT was not answered may have removed some.
    ASSIGN_OR_RETURN(dead_letters_, table.Count());
    ASSIGN_OR_RETURN(const std::vector<DeadLetter> letters, ReadWholeKeys(table, stayed));
    // Somebody may have altered the table, which is why letters are replayed.
    prepared_.reset();
    RETURN_IF_ERROR(Prepare(session, nothing, Care::kThorough));
    const MergeSql sql(dialect_, target_, *schema, prepared_->names, prepared_->types);
    DeadLetterReplay replay(session, sql, schema);
    ASSIGN_OR_RETURN(const std::vector<size_t> applied, replay.Apply(letters));
    if (prepared_->resyncing && !replay.batch().rows.empty()) {
        RETURN_IF_ERROR(SeenKeys(session, dialect_, stream_).Add(prepared_->key, replay.batch()));
    }
    std::vector<DeadLetter> gone;
    for (const size_t index : applied) {
        gone.push_back(letters[index]);
    }
    ASSIGN_OR_RETURN(const int64_t removed, table.Remove(gone));
    MILLRACE_FAILPOINT("merge.before_replay_commit");
    RETURN_IF_ERROR(session.Commit());
    dead_letters_ -= removed;
    result.applied += removed;
    result.standing = dead_letters_;
    return static_cast<int64_t>(letters.size());
}

absl::Status MergeWriter::HoldCheckpoint(SqlSession& session) {
    ASSIGN_OR_RETURN(const bool ours, CheckpointTable(session, dialect_).Hold(stream_, *checkpoint_));
    if (ours) {
        return absl::OkStatus();
    }
    sdk::Batch beyond;
    beyond.next_offset = checkpoint_->next_offset + 1;
    RETURN_IF_ERROR(ExplainFence(session, beyond).status());
    return base::MakeError(absl::StatusCode::kInternal, "CHECKPOINT_MOVED",
                           base::Concat("the checkpoint of ", target_.DisplayName(), " has moved"));
}

absl::StatusOr<sdk::Checkpoint> MergeWriter::ExplainFence(SqlSession& session, const sdk::Batch& batch) {
    ASSIGN_OR_RETURN(const auto stored, CheckpointTable(session, dialect_).Read(stream_));
    if (!stored || stored->epoch != checkpoint_->epoch) {
        return base::MakeError(
            absl::StatusCode::kAborted, "FENCED",
            stored ? base::Concat("epoch ", checkpoint_->epoch, " of ", target_.DisplayName(),
                                  " was superseded by epoch ", stored->epoch)
                   : base::Concat("the checkpoint of ", target_.DisplayName(), " was removed"));
    }
    const bool reached = batch.rewinds
                             ? stored->next_offset == batch.next_offset && stored->last == batch.last
                             : stored->next_offset >= batch.next_offset;
    if (reached) {
        return *stored;
    }
    return base::MakeError(
        absl::StatusCode::kInternal, "CHECKPOINT_MOVED",
        base::Concat("the checkpoint of ", target_.DisplayName(), " stands at offset ", stored->next_offset,
                     " where this writer left it at ", checkpoint_->next_offset));
}

absl::Status MergeWriter::Prepare(SqlSession& session, const sdk::Batch& batch, Care care) {
    if (prepared_ && prepared_->schema_id == batch.schema->id) {
        return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const std::vector<std::string> types, session.ColumnTypes(*batch.schema));
    WantedTable wanted = WantTable(dialect_, target_, *batch.schema, types);
    wanted.emptied = batch.truncate_first;
    wanted.fill_as_text = care == Care::kCellByCell;
    return Evolve(session, batch, wanted);
}

absl::Status MergeWriter::TendResync(SqlSession& session, const sdk::Batch& batch) {
    SeenKeys seen(session, dialect_, stream_);
    if (batch.resync_begins) {
        prepared_->resyncing = true;
        return seen.Begin(prepared_->key);
    }
    if (prepared_->resyncing && batch.truncate_first) {
        // Every row that will stand there has come since.
        prepared_->resyncing = false;
        return seen.Drop();
    }
    return absl::OkStatus();
}

absl::Status MergeWriter::Evolve(SqlSession& session, const sdk::Batch& batch, const WantedTable& wanted) {
    ColumnTable columns(session, dialect_, stream_);
    ASSIGN_OR_RETURN(const WrittenColumns written, columns.Read());
    bool exists = false;
    const auto plan = [&]() -> absl::StatusOr<SchemaPlan> {
        ASSIGN_OR_RETURN(const auto shape, session.Describe(target_));
        bool schema_exists = true;
        if (!shape) {
            if (checkpoint_->next_offset > 0 && !batch.truncate_first && !batch.resync_begins) {
                return base::MakeError(
                    absl::StatusCode::kFailedPrecondition, "TABLE_MISSING",
                    base::Concat("table ", target_.DisplayName(),
                                 " has gone from the destination, and with it the rows applied so far"),
                    "Restore it there, or replicate the table anew.");
            }
            ASSIGN_OR_RETURN(schema_exists, session.SchemaExists(target_.schema));
        }
        exists = shape.has_value();
        return PlanSchema(dialect_, wanted, shape, schema_exists, written);
    };
    ASSIGN_OR_RETURN(SchemaPlan changes, plan());
    if (!changes.empty()) {
        if (const std::string lock = dialect_.DdlLock(); !lock.empty()) {
            RETURN_IF_ERROR(Run(session, lock));
            // Another writer may have made the schema while we waited.
            ASSIGN_OR_RETURN(changes, plan());
        }
        MILLRACE_FAILPOINT("merge.before_ddl");
        if (exists && batch.truncate_first && dialect_.EmptiesBeforeAlter()) {
            RETURN_IF_ERROR(Run(session, base::Concat("TRUNCATE TABLE ", dialect_.Qualified(target_))));
        }
        for (const std::string& statement : changes.statements) {
            RETURN_IF_ERROR(Run(session, statement));
        }
        MILLRACE_FAILPOINT("merge.after_ddl");
    }
    for (const auto& [from, to] : changes.renames) {
        if (dead_letters_ > 0) {
            RETURN_IF_ERROR(DeadLetterTable(session, dialect_, stream_).RenameColumn(from, to));
        }
    }
    if (!changes.add_key.empty()) {
        if (const absl::Status added = Run(session, changes.add_key); !added.ok()) {
            return added.code() == absl::StatusCode::kFailedPrecondition
                       ? base::MakeError(added.code(), "KEY_CHANGED",
                                         base::Concat("the rows of ", target_.DisplayName(),
                                                      " do not suit its new key: ", added.message()),
                                         "Replicate the table anew.")
                       : added;
        }
    }
    if (changes.written != written) {
        RETURN_IF_ERROR(columns.Write(changes.written));
    }
    prepared_ = Prepared{.schema_id = batch.schema->id,
                         .names = dialect_.ColumnNames(*batch.schema),
                         .types = std::move(changes.types),
                         .dropped_columns = changes.written.Dropped(),
                         .key = {},
                         .resyncing = resyncing_};
    for (const int column : batch.schema->KeyColumns()) {
        const auto i = static_cast<size_t>(column);
        prepared_->key.push_back({.name = prepared_->names[i], .type = prepared_->types[i], .index = column});
    }
    return resyncing_ ? SeenKeys(session, dialect_, stream_).Fit(prepared_->key) : absl::OkStatus();
}

absl::Status MergeWriter::WriteRows(SqlSession& session, const sdk::Batch& batch, const BatchProfile& profile,
                                    Care care, sdk::ApplyResult& result) {
    const MergeSql sql(dialect_, target_, *batch.schema, prepared_->names, prepared_->types);
    if (batch.truncate_first) {
        RETURN_IF_ERROR(Run(session, sql.Truncate()));
        MILLRACE_FAILPOINT("merge.after_truncate");
    }
    if (batch.rows.empty()) {
        return absl::OkStatus();
    }
    result.rows_written = profile.full + profile.partial;
    result.rows_deleted = profile.gone;
    if (prepared_->resyncing) {
        RETURN_IF_ERROR(SeenKeys(session, dialect_, stream_).Add(prepared_->key, batch));
    }
    if (batch.append || batch.schema->append_only) {
        return session.Load(sql.Target(), batch).status();
    }
    if (care == Care::kQuick && !prepared_->resyncing && FreshRows(batch) >= kAppendedApart) {
        return WriteApart(session, sql, batch, result);
    }
    if (care == Care::kQuick && profile.unchanged.empty() && batch.rows.size() <= dialect_.InlineRows() &&
        profile.bytes <= kInlineBytes) {
        const std::string script = sql.Inline(batch, !batch.truncate_first);
        return script.empty() ? absl::OkStatus() : Run(session, script);
    }
    return MergeStaged(session, sql, batch, profile, result);
}

absl::Status MergeWriter::WriteApart(SqlSession& session, const MergeSql& sql, const sdk::Batch& batch,
                                     sdk::ApplyResult& result) {
    // What is deleted goes first: an index that somebody has put on the table may know both rows.
    sdk::Batch others = batch.Part(false);
    others.truncate_first = batch.truncate_first;
    if (!others.rows.empty()) {
        ASSIGN_OR_RETURN(const BatchProfile profile, ProfileBatch(others));
        RETURN_IF_ERROR(MergeStaged(session, sql, others, profile, result));
    }
    return session.Load(sql.Target(), batch.Part(true)).status();
}

absl::Status MergeWriter::WriteSorted(SqlSession& session, const sdk::Batch& batch,
                                      sdk::ApplyResult& result) {
    const auto sql = [&] {
        return MergeSql(dialect_, target_, *batch.schema, prepared_->names, prepared_->types);
    };
    sdk::Batch sorted = batch;
    // Where no type refuses anything, the batch fails once more for its real reason.
    ASSIGN_OR_RETURN(auto refused, FindRefusedStaged(session, sql(), sorted));
    if (batch.refused == sdk::RefusedValues::kText && !refused.empty()) {
        RETURN_IF_ERROR(ChangeToText(session, batch, refused));
        sorted = batch;
        ASSIGN_OR_RETURN(refused, FindRefusedStaged(session, sql(), sorted));
    }
    const std::vector<DeadLetter> letters = TakeRefused(refused, sql().Stage(), batch, sorted);
    ASSIGN_OR_RETURN(const BatchProfile left, ProfileBatch(sorted));
    const MergeSql now = sql();
    for (const LoadTable& stage : now.Stages()) {
        // A row that moved away from a key that cannot stand here leaves nothing to be resolved from.
        if (const std::vector<int> unchanged = MergeSql::UnchangedIn(stage, left.unchanged); !unchanged.empty()) {
            RETURN_IF_ERROR(session.FindRefused(now.PartialStage(unchanged), sorted).status());
        }
    }
    RETURN_IF_ERROR(WriteRows(session, sorted, left, Care::kThorough, result));
    RETURN_IF_ERROR(DeadLetterTable(session, dialect_, stream_).Add(target_, letters));
    result.dead_letters_standing += static_cast<int64_t>(letters.size());
    for (const DeadLetter& letter : letters) {
        ++result.dead_letters[letter.column.value_or("")];
    }
    return absl::OkStatus();
}

absl::Status MergeWriter::ChangeToText(SqlSession& session, const sdk::Batch& batch,
                                       const std::vector<RefusedCell>& refused) {
    const LoadTable stage =
        MergeSql(dialect_, target_, *batch.schema, prepared_->names, prepared_->types).Stage();
    std::set<std::string> columns;
    for (const RefusedCell& cell : refused) {
        if (!cell.not_even_text) {
            columns.insert(prepared_->names[static_cast<size_t>(stage.columns[cell.column].index)]);
        }
    }
    for (const std::string& column : columns) {
        RETURN_IF_ERROR(
            Run(session, base::Concat("ALTER TABLE ", dialect_.Qualified(target_), " ALTER COLUMN ",
                                      dialect_.QuoteIdentifier(column), " TYPE TEXT")));
    }
    const bool resyncing = prepared_->resyncing;
    prepared_.reset();
    RETURN_IF_ERROR(Prepare(session, batch, Care::kCellByCell));
    prepared_->resyncing = resyncing;
    return resyncing ? SeenKeys(session, dialect_, stream_).Fit(prepared_->key) : absl::OkStatus();
}

absl::Status MergeWriter::ResolveUnchanged(SqlSession& session, const MergeSql& sql, const LoadTable& stage,
                                           const sdk::Batch& batch, const BatchProfile& profile,
                                           sdk::ApplyResult& result) {
    const std::vector<int> unchanged = MergeSql::UnchangedIn(stage, profile.unchanged);
    if (unchanged.empty()) {
        return absl::OkStatus();
    }
    RETURN_IF_ERROR(session.Load(sql.PartialStage(unchanged), batch).status());
    MILLRACE_FAILPOINT("merge.before_resolve");
    ASSIGN_OR_RETURN(const int64_t resolved, session.Execute(sql.Resolve(stage, unchanged)));
    MILLRACE_FAILPOINT("merge.after_resolve");
    if (resolved >= profile.partial) {
        return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const auto rows, session.Query(sql.CountHoles(unchanged)));
    int64_t holes = 0;
    if (rows.size() != 1 || rows[0].size() != 1 || (rows[0][0] && !absl::SimpleAtoi(*rows[0][0], &holes))) {
        return base::MakeError(absl::StatusCode::kInternal, "UNEXPECTED_ANSWER",
                               "the count of holes is not a number");
    }
    result.holes += holes;
    return absl::OkStatus();
}

absl::Status MergeWriter::MergeStaged(SqlSession& session, const MergeSql& sql, const sdk::Batch& batch,
                                      const BatchProfile& profile, sdk::ApplyResult& result) {
    for (const LoadTable& stage : sql.Stages()) {
        RETURN_IF_ERROR(session.Load(stage, batch).status());
    }
    if (MILLRACE_DEFECT("delete-before-resolve", 1)) {
        RETURN_IF_ERROR(Run(session, sql.DeleteStaged()));
    }
    // Every read of the target stands before the first delete: two rows may swap their keys in one batch.
    for (const LoadTable& stage : sql.Stages()) {
        RETURN_IF_ERROR(ResolveUnchanged(session, sql, stage, batch, profile, result));
    }
    if (!batch.truncate_first) {
        MILLRACE_FAILPOINT("merge.after_stage");
        RETURN_IF_ERROR(Run(session, sql.DeleteStaged()));
        MILLRACE_FAILPOINT("merge.after_delete");
    }
    return profile.full + profile.partial > 0 ? Run(session, sql.InsertStaged()) : absl::OkStatus();
}

}  // namespace millrace::sql
