#include "data-plane/publish/stream_writer.h"

#include <algorithm>
#include <utility>

#include "base/defect.h"
#include "base/failpoint.h"
#include "base/status.h"
#include "base/text.h"
#include "data-plane/backfill/chunk_window.h"
#include "data-plane/publish/schema_note.h"
#include "data-plane/publish/table_backfill.h"

namespace millrace::publish {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// A Kafka commit costs a broker round trip or two: at most one every kMinInterval, at the latest after
// kMaxInterval or kMaxBytes. Between them a transaction ends as soon as the source has nothing more.
constexpr milliseconds kMinInterval{8};
constexpr milliseconds kMaxInterval{150};
constexpr int64_t kMaxBytes = int64_t{8} << 20;
constexpr milliseconds kIdleProgressInterval{3000};
constexpr milliseconds kIdlePoll{200};
constexpr size_t kMaxRoutes = 20'000;

}  // namespace

StreamWriter::StreamWriter(TransactionWriter& writer, std::map<std::string, TableState>& tables,
                           CopyReason why_copy, const events::Recorder& recorder)
    : writer_(writer), why_copy_(std::move(why_copy)), recorder_(recorder) {
    for (auto& [topic, table] : tables) {
        if (table.published() || table.held()) {
            tables_[table.schema + '\0' + table.table] = &table;
        }
    }
}

void StreamWriter::ForgetRoutes() {
    routes_.clear();
    last_route_ = nullptr;
}

void StreamWriter::Attend(TableBackfill& backfill) {
    backfills_.push_back(&backfill);
    TableState& table = backfill.state();
    tables_[table.schema + '\0' + table.table] = &table;
    ForgetRoutes();
}

void StreamWriter::Dismiss(const TableBackfill& backfill) {
    std::erase(backfills_, &backfill);
    ForgetRoutes();
}

absl::Status StreamWriter::AtBoundary() {
    for (TableBackfill* backfill : backfills_) {
        const absl::Status status = backfill->OnBoundary();
        if (base::ReasonOf(status) == kCopyNeededReason) {
            return WantCopy(backfill->state(), std::string(status.message()), {writer_.pending().end, 0});
        }
        RETURN_IF_ERROR(status);
    }
    return absl::OkStatus();
}

StreamWriter::Route& StreamWriter::RouteOf(const sdk::SchemaPtr& schema) {
    if (last_route_ != nullptr && last_route_->schema == schema) {
        return *last_route_;
    }
    // Holding the schema keeps its address from being reused for another table.
    if (routes_.size() > kMaxRoutes) {
        ForgetRoutes();
    }
    Route& route = routes_[schema.get()];
    if (route.schema == nullptr) {
        route.schema = schema;
        auto found = tables_.find(schema->schema + '\0' + schema->table);
        route.table = found == tables_.end() ? nullptr : found->second;
        // Another table has the name now: what it held before comes with its copy.
        if (route.table != nullptr && route.table->source_table_id != 0 && schema->source_table_id != 0 &&
            route.table->source_table_id != schema->source_table_id) {
            route.table = nullptr;
        }
        strange_ = strange_ || route.table == nullptr;
        if (route.table != nullptr && route.table->held()) {
            route.table = nullptr;
        }
        const auto backfill = std::ranges::find_if(
            backfills_, [&](TableBackfill* one) { return route.table != nullptr && &one->state() == route.table; });
        route.backfill = backfill == backfills_.end() ? nullptr : *backfill;
    }
    last_route_ = &route;
    return route;
}

absl::Status StreamWriter::WantCopy(TableState& table, std::string reason, const sdk::Position& position) {
    wanted_copy_ = WantedCopy{.table = &table, .reason = std::move(reason), .position = position};
    return base::MakeError(
        absl::StatusCode::kAborted, kCopyNeededReason,
        base::Concat(table.schema, ".", table.table, " is copied anew: ", wanted_copy_->reason));
}

absl::Status StreamWriter::CheckShape(const Route& route, const sdk::ChangeEvent& event) {
    TableState& table = *route.table;
    if (!route.noted && table.schema_of_last) {
        if (std::string reason = why_copy_(*table.schema_of_last, *event.schema); !reason.empty()) {
            return WantCopy(table, std::move(reason), event.position);
        }
    }
    if (event.schema->append_only && (event.op == sdk::Op::kUpdate || event.op == sdk::Op::kDelete)) {
        return WantCopy(table, "it was updated but no key of it is known", event.position);
    }
    return absl::OkStatus();
}

absl::Status StreamWriter::OnChange(const sdk::ChangeEvent& event) {
    Route& route = RouteOf(event.schema);
    if (event.position <= writer_.pending().last && !MILLRACE_DEFECT("skip-resume-filter", 1)) {
        return absl::OkStatus();  // sent again by the source after a restart
    }
    if (route.table == nullptr || event.position.commit < route.table->copied_at) {
        return absl::OkStatus();  // not ours, or contained in the table's copy
    }
    if (MILLRACE_DEFECT("drop-event", 400)) {
        return absl::OkStatus();
    }
    if (writer_.durable().last.commit == event.position.commit && MILLRACE_DEFECT("lose-second-part", 1)) {
        return absl::OkStatus();
    }
    if (route.backfill != nullptr && !route.backfill->Wants(event)) {
        return absl::OkStatus();  // contained in every chunk to come
    }
    if (route.backfill != nullptr && route.backfill->IsUndoneBy(event)) {
        return WantCopy(*route.table, "it was truncated or altered while its rows were read", event.position);
    }
    RETURN_IF_ERROR(CheckShape(route, event));
    sdk::ChangeEvent stamped = event;
    stamped.generation = writer_.pending().generation;
    MILLRACE_FAILPOINT("publish.before_change");
    RETURN_IF_ERROR(writer_.Write(stamped, route.table->topic));
    if (!route.noted && NoteSchema(*route.table, event.schema, event.position, recorder_)) {
        RETURN_IF_ERROR(writer_.WriteTableState(*route.table));
    }
    route.noted = true;
    if (route.backfill != nullptr) {
        RETURN_IF_ERROR(route.backfill->Observe(event));
    } else if (route.table->backfill) {
        // A later turn of this session goes on with it; what it is to repair must not be forgotten until then.
        if (auto key = backfill::ChunkWindow::RepairOf(event)) {
            route.table->backfill->repairs.push_back(*std::move(key));
            RETURN_IF_ERROR(writer_.WriteTableState(*route.table));
        }
    }
    StreamPosition& pending = writer_.pending();
    pending.last = event.position;
    MILLRACE_FAILPOINT("publish.after_change");
    pending.mid_transaction = true;
    ++events_;
    if (writer_.open_bytes() >= kMaxBytes) {
        return writer_.Commit();
    }
    return absl::OkStatus();
}

absl::Status StreamWriter::OnCommit(uint64_t commit, uint64_t end, int64_t /*commit_time_us*/) {
    StreamPosition& pending = writer_.pending();
    if (end <= pending.end) {
        return absl::OkStatus();
    }
    if (pending.last.commit < commit) {
        pending.last = {commit, 0};
    }
    MILLRACE_FAILPOINT("publish.on_commit");
    // Also where the transaction's last change was committed before its end was known.
    progress_due_ = progress_due_ || !writer_.open();
    pending.end = end;
    pending.mid_transaction = false;
    return AtBoundary();
}

absl::Status StreamWriter::OnProgress(uint64_t position) {
    StreamPosition& pending = writer_.pending();
    if (!pending.mid_transaction && position > pending.end) {
        pending.end = position;
        progress_idle_ = true;
        return AtBoundary();
    }
    return absl::OkStatus();
}

absl::Status StreamWriter::CommitIfDue(bool drained) {
    const auto now = steady_clock::now();
    const bool rested = now - writer_.last_commit() >= kMinInterval;
    bool due = false;
    if (writer_.open()) {
        due =
            (drained && rested) || now - writer_.begun() >= kMaxInterval || writer_.open_bytes() >= kMaxBytes;
    } else if (progress_due_) {
        due = rested;
    } else if (progress_idle_) {
        due = now - writer_.last_commit() >= kIdleProgressInterval;
    }
    return due ? Finish() : absl::OkStatus();
}

std::chrono::milliseconds StreamWriter::PollTimeout() const {
    if (!writer_.open() && !progress_due_) {
        return kIdlePoll;
    }
    const auto since = std::chrono::duration_cast<milliseconds>(steady_clock::now() - writer_.last_commit());
    return std::clamp(kMinInterval - since, milliseconds{0}, kMinInterval);
}

absl::Status StreamWriter::Finish() {
    if (!writer_.open() && !progress_due_ && !progress_idle_) {
        return absl::OkStatus();
    }
    RETURN_IF_ERROR(writer_.Commit());
    MILLRACE_FAILPOINT("publish.after_commit_due");
    progress_due_ = false;
    progress_idle_ = false;
    return absl::OkStatus();
}

}  // namespace millrace::publish
