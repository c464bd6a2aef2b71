#include "data-plane/publish/table_copier.h"

#include "base/clock.h"
#include "base/defect.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/status.h"
#include "data-plane/publish/schema_note.h"
#include "data-plane/publish/table_set.h"

namespace millrace::publish {
namespace {

using std::chrono::steady_clock;

constexpr int64_t kCommitBytes = int64_t{8} << 20;
/// A Kafka transaction that stays open for a minute is aborted by the broker, however little is in it.
constexpr std::chrono::seconds kCommitInterval{2};
/// A table of so many bytes may be read for long before its first row comes.
constexpr int64_t kLargeTable = int64_t{64} << 20;
constexpr uint64_t kRowsBetweenClockReads = 256;
constexpr std::chrono::milliseconds kKeepAliveInterval{500};

}  // namespace

uint64_t CopyCommit(uint64_t at) {
    return at - 1;
}

TableCopier::TableCopier(sdk::Source& source, TransactionWriter& writer, FactsBoard& board,
                         base::Counter& rows, const events::Recorder& recorder,
                         std::function<absl::Status()> keep_alive)
    : source_(source),
      writer_(writer),
      board_(board),
      rows_(rows),
      recorder_(recorder),
      keep_alive_(std::move(keep_alive)) {}

absl::Status TableCopier::Copy(const sdk::SourceTable& table, uint64_t at, TableState& state, bool stands) {
    state_ = &state;
    at_ = at;
    // Also between tables that are too small to ask for it themselves.
    RETURN_IF_ERROR(TendStream());
    RETURN_IF_ERROR(CommitIfDue());
    state.Forget();
    state.rows = 0;
    counted_ = 0;
    ASSIGN_OR_RETURN(sdk::SchemaPtr schema, source_.Describe(table));
    const bool resync = stands && RowsStay(source_, state, *schema);
    state.stands = resync;
    state.incomplete = false;
    sdk::ChangeEvent marker;
    marker.op = resync ? sdk::Op::kResync : sdk::Op::kTruncate;
    marker.schema = schema;
    marker.position = {CopyCommit(at), 0};
    marker.commit_time_us = base::NowMicros();
    marker.generation = writer_.pending().generation;
    // Also makes the destination's table where there is no row to make it.
    if (!MILLRACE_DEFECT("skip-copy-marker", 1)) {
        RETURN_IF_ERROR(writer_.Write(marker, state.topic));
    }
    MILLRACE_FAILPOINT("publish.after_copy_marker");
    NoteSchema(state, schema, marker.position, recorder_);
    state.source_table_id = schema->source_table_id;
    if (table.bytes >= kLargeTable) {
        RETURN_IF_ERROR(writer_.Commit());
    }
    ASSIGN_OR_RETURN(int64_t rows, source_.CopyTable(table, 1, *this));
    state.rows = static_cast<uint64_t>(rows);
    MILLRACE_FAILPOINT("publish.after_rows_copied");
    if (resync) {
        marker.op = sdk::Op::kResyncEnd;
        marker.position.seq = state.rows + 1;
        RETURN_IF_ERROR(writer_.Write(marker, state.topic));
    }
    state.copied = true;
    state.stands = true;
    state.copied_at = at;
    RETURN_IF_ERROR(writer_.WriteTableState(state));
    MILLRACE_FAILPOINT("publish.after_table_state");
    ShowRows(true, schema->append_only);
    base::LogInfo("table copied", {{"table", table.DisplayName()}, {"rows", rows}});
    return absl::OkStatus();
}

absl::Status TableCopier::OnChange(const sdk::ChangeEvent& event) {
    sdk::ChangeEvent stamped = event;
    stamped.position.commit = CopyCommit(at_);
    stamped.generation = writer_.pending().generation;
    RETURN_IF_ERROR(writer_.Write(stamped, state_->topic));
    MILLRACE_FAILPOINT("publish.after_copied_row");
    ++state_->rows;
    if (writer_.open_bytes() >= kCommitBytes) {
        RETURN_IF_ERROR(writer_.Commit());
        ShowRows(false, event.schema->append_only);
    }
    if (state_->rows % kRowsBetweenClockReads == 0 && KeepAliveIsDue()) {
        ShowRows(false, event.schema->append_only);
        RETURN_IF_ERROR(TendStream());
        return CommitIfDue();
    }
    return absl::OkStatus();
}

bool TableCopier::KeepAliveIsDue() const {
    return steady_clock::now() - last_keep_alive_ >= kKeepAliveInterval;
}

absl::Status TableCopier::TendStream() {
    if (!KeepAliveIsDue()) {
        return absl::OkStatus();
    }
    last_keep_alive_ = steady_clock::now();
    return keep_alive_();
}

absl::Status TableCopier::CommitIfDue() {
    return writer_.open() && steady_clock::now() - writer_.begun() >= kCommitInterval ? writer_.Commit()
                                                                                     : absl::OkStatus();
}

void TableCopier::ShowRows(bool copied, bool append_only) {
    rows_.Add(static_cast<double>(state_->rows - counted_));
    counted_ = state_->rows;
    board_.Update([&](PublisherFacts& facts) {
        // Tables are copied in the order in which they stand there.
        for (size_t looked = 0; looked < facts.tables.size(); ++looked, ++place_) {
            place_ = place_ < facts.tables.size() ? place_ : 0;
            TableFacts& table = facts.tables[place_];
            if (table.topic == state_->topic) {
                table.rows_copied = static_cast<int64_t>(state_->rows);
                table.copied = copied;
                table.append_only = append_only;
                return;
            }
        }
    });
}

}  // namespace millrace::publish
