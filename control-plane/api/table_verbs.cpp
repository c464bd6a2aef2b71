// What users ask of single tables of a pipeline, and the pipeline's log of events.
#include <google/protobuf/util/time_util.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "control-plane/api/pipelines.h"
#include "control-plane/api/resource_access.h"
#include "control-plane/store/uuid.h"

namespace millrace::api {
namespace {

constexpr int kDefaultEvents = 100;
constexpr int kMostEvents = 1000;

v1::TableOverride& OverrideOf(v1::PipelineSpec& spec, const std::string& schema, const std::string& table) {
    for (v1::TableOverride& existing : *spec.mutable_table_overrides()) {
        if (existing.schema() == schema && existing.table() == table) {
            return existing;
        }
    }
    v1::TableOverride& fresh = *spec.add_table_overrides();
    fresh.set_schema(schema);
    fresh.set_table(table);
    return fresh;
}

absl::StatusOr<v1::TableStatus> FindTable(const v1::Pipeline& pipeline, const std::string& schema,
                                          const std::string& table) {
    for (const v1::TableStatus& status : pipeline.status().tables()) {
        if (status.schema() == schema && status.table() == table) {
            return status;
        }
    }
    return base::MakeError(
        absl::StatusCode::kNotFound, "TABLE_UNKNOWN",
        absl::StrCat(pipeline.metadata().name(), " has no table ", schema, ".", table, "."),
        "`millrace table list` shows its tables; they are known once a worker reports them.");
}

bool IsReadStill(const v1::TableStatus& table) {
    const auto state = table.backfill().state();
    return state == v1::BackfillStatus::STATE_QUEUED || state == v1::BackfillStatus::STATE_RUNNING ||
           state == v1::BackfillStatus::STATE_PAUSED;
}

absl::Status MustBeReadStill(const v1::TableStatus& table) {
    return IsReadStill(table) ? absl::OkStatus()
                              : base::MakeError(absl::StatusCode::kFailedPrecondition, "BACKFILL_NOT_RUNNING",
                                                absl::StrCat("No rows of ", table.schema(), ".", table.table(), " are being read."),
                                                "`millrace backfill list` shows of which tables rows are.");
}

}  // namespace

v1::PipelineEvent MakeEvent(v1::PipelineEvent::Type type, const std::string& message) {
    v1::PipelineEvent event;
    event.set_id(store::NewUuid());
    *event.mutable_time() = google::protobuf::util::TimeUtil::GetCurrentTime();
    event.set_type(type);
    event.set_message(message);
    return event;
}

bool Pipelines::HasToldItsTables(const v1::Pipeline& pipeline, const std::string& plane) const {
    const auto workers = hub_.Reports(plane, pipeline.metadata().name());
    const bool connected = std::any_of(workers.begin(), workers.end(), [](const domain::WorkerReport& worker) { return worker.connected; });
    const v1::PipelineStatus& status = pipeline.status();
    return !connected || (!status.tables().empty() && status.tables_size() >= status.publisher().tables_total());
}

absl::StatusOr<v1::Pipeline> Pipelines::OrderTable(
    const std::string& name, const std::string& schema, const std::string& table, v1::PipelineEvent event,
    const std::function<absl::Status(const v1::TableStatus&, v1::TableOverride&)>& order) {
    ASSIGN_OR_RETURN(Resolved before, LoadRunning(name));
    FillStatus(before.pipeline, before.plane.metadata().name());
    const absl::StatusOr<v1::TableStatus> found = FindTable(before.pipeline, schema, table);
    if (!found.ok() && !HasToldItsTables(before.pipeline, before.plane.metadata().name())) {
        return base::MakeError(absl::StatusCode::kUnavailable, "TABLES_NOT_TOLD",
                               absl::StrCat("No worker has told of all tables of ", name, " yet; ", schema, ".", table, " is not among those that are known."),
                               "Try again in some seconds; `millrace status` shows what the workers do.");
    }
    RETURN_IF_ERROR(found.status());
    const v1::TableStatus& status = *found;
    event.set_schema(schema);
    event.set_table(table);
    v1::Pipeline pipeline;
    const std::string& plane = before.plane.metadata().name();
    const absl::Status written = store_.Update([&](store::Transaction& transaction) -> absl::Status {
        ASSIGN_OR_RETURN(pipeline, LoadNamed<v1::Pipeline>(transaction, name));
        RETURN_IF_ERROR(order(status, OverrideOf(*pipeline.mutable_spec(), schema, table)));
        Touch(*pipeline.mutable_metadata(), true);
        RETURN_IF_ERROR(store::Save(transaction, pipeline, store::Expected::Any()));
        RETURN_IF_ERROR(store::AppendEvent(transaction, name, event));
        return transaction.AdvancePlane(plane).status();
    });
    RETURN_IF_ERROR(written);
    FillStatus(pipeline, plane);
    return pipeline;
}

absl::StatusOr<v1::Pipeline> Pipelines::PauseTable(const v1::PausePipelineTableRequest& request) {
    return OrderTable(request.name(), request.schema(), request.table(),
                      MakeEvent(v1::PipelineEvent::TYPE_TABLE_PAUSED, "the table was paused by a user"),
                      [](const v1::TableStatus&, v1::TableOverride& wanted) {
                          wanted.set_paused(true);
                          return absl::OkStatus();
                      });
}

absl::StatusOr<v1::Pipeline> Pipelines::ResumeTable(const v1::ResumePipelineTableRequest& request) {
    return OrderTable(request.name(), request.schema(), request.table(),
                      MakeEvent(v1::PipelineEvent::TYPE_TABLE_RESUMED, "the table was resumed by a user"),
                      [](const v1::TableStatus&, v1::TableOverride& wanted) {
                          wanted.set_paused(false);
                          wanted.set_resume_counter(wanted.resume_counter() + 1);
                          return absl::OkStatus();
                      });
}

absl::StatusOr<v1::Pipeline> Pipelines::ResyncTable(const v1::ResyncPipelineTableRequest& request) {
    return OrderTable(request.name(), request.schema(), request.table(),
                      MakeEvent(v1::PipelineEvent::TYPE_TABLE_RESYNC, "a new copy was asked for by a user"),
                      [](const v1::TableStatus&, v1::TableOverride& wanted) {
                          wanted.set_resync_counter(wanted.resync_counter() + 1);
                          return absl::OkStatus();
                      });
}

absl::StatusOr<v1::Pipeline> Pipelines::StartBackfill(const v1::StartPipelineTableBackfillRequest& request) {
    const bool chosen = !request.sealed_rows().empty();
    return OrderTable(
        request.name(), request.schema(), request.table(),
        chosen ? MakeEvent(v1::PipelineEvent::TYPE_TABLE_BACKFILL, "a user asked for chosen rows to be read again")
               : MakeEvent(v1::PipelineEvent::TYPE_TABLE_RESYNC, "a new copy was asked for by a user"),
        [&](const v1::TableStatus& status, v1::TableOverride& wanted) -> absl::Status {
            if (chosen && (IsReadStill(status) || status.state() == v1::TableStatus::STATE_COPYING)) {
                return base::MakeError(absl::StatusCode::kFailedPrecondition, "BACKFILL_RUNS",
                                       absl::StrCat("Rows of ", request.schema(), ".", request.table(), " are being read already."),
                                       "Wait until they have been, or cancel that first; `millrace backfill list` shows it.");
            }
            if (request.has_priority()) {
                wanted.set_backfill_priority(request.priority());
            }
            wanted.set_backfill_paused(false);
            if (chosen) {
                wanted.set_backfill_counter(wanted.backfill_counter() + 1);
                wanted.set_sealed_rows(request.sealed_rows());
            } else {
                wanted.set_resync_counter(wanted.resync_counter() + 1);
            }
            return absl::OkStatus();
        });
}

absl::StatusOr<v1::Pipeline> Pipelines::PauseBackfill(const v1::PausePipelineTableBackfillRequest& request) {
    return OrderTable(request.name(), request.schema(), request.table(),
                      MakeEvent(v1::PipelineEvent::TYPE_TABLE_BACKFILL, "the backfill was paused by a user"),
                      [](const v1::TableStatus& status, v1::TableOverride& wanted) {
                          wanted.set_backfill_paused(true);
                          return MustBeReadStill(status);
                      });
}

absl::StatusOr<v1::Pipeline> Pipelines::ResumeBackfill(const v1::ResumePipelineTableBackfillRequest& request) {
    return OrderTable(request.name(), request.schema(), request.table(),
                      MakeEvent(v1::PipelineEvent::TYPE_TABLE_BACKFILL, "the backfill was resumed by a user"),
                      [](const v1::TableStatus& status, v1::TableOverride& wanted) {
                          wanted.set_backfill_paused(false);
                          return MustBeReadStill(status);
                      });
}

absl::StatusOr<v1::Pipeline> Pipelines::CancelBackfill(const v1::CancelPipelineTableBackfillRequest& request) {
    return OrderTable(request.name(), request.schema(), request.table(),
                      MakeEvent(v1::PipelineEvent::TYPE_TABLE_BACKFILL, "a user asked for the backfill to be cancelled"),
                      [](const v1::TableStatus& status, v1::TableOverride& wanted) {
                          wanted.set_backfill_cancel_counter(wanted.backfill_cancel_counter() + 1);
                          return MustBeReadStill(status);
                      });
}

absl::StatusOr<v1::Pipeline> Pipelines::SkipTable(const v1::SkipPipelineTableRequest& request) {
    v1::PipelineEvent event = MakeEvent(v1::PipelineEvent::TYPE_TABLE_SKIPPED,
                                        "a user asked to pass over the records it is held at");
    event.set_position(absl::StrCat("offsets ", request.first_offset(), "-", request.next_offset() - 1));
    return OrderTable(
        request.name(), request.schema(), request.table(), std::move(event),
        [&](const v1::TableStatus& status, v1::TableOverride& wanted) -> absl::Status {
            const bool held = status.held_next_offset() > 0;
            if (!held || request.first_offset() != status.held_first_offset() ||
                request.next_offset() <= request.first_offset() ||
                request.next_offset() > status.held_next_offset()) {
                const std::string range =
                    held ? absl::StrCat("it is held at offsets ", status.held_first_offset(), "-",
                                        status.held_next_offset() - 1)
                         : "it is not held at any records now";
                return base::MakeError(
                    absl::StatusCode::kFailedPrecondition, "SKIP_RANGE",
                    absl::StrCat(request.schema(), ".", request.table(), ": ", range, "."),
                    "Look at the table's error and range again before records are passed over.");
            }
            wanted.set_skip_first_offset(request.first_offset());
            wanted.set_skip_next_offset(request.next_offset());
            return absl::OkStatus();
        });
}

absl::StatusOr<v1::Pipeline> Pipelines::ConfirmDrop(const v1::ConfirmPipelineTableDropRequest& request) {
    v1::PipelineEvent event = MakeEvent(v1::PipelineEvent::TYPE_DROP_CONFIRMED,
                                        "a user confirmed that columns are dropped at the destination");
    event.set_before(absl::StrJoin(request.columns(), ", "));
    return OrderTable(
        request.name(), request.schema(), request.table(), std::move(event),
        [&](const v1::TableStatus& status, v1::TableOverride& wanted) -> absl::Status {
            const auto& pending = status.pending_drops();
            const auto pends = [&](const std::string& column) {
                return std::find(pending.begin(), pending.end(), column) != pending.end();
            };
            if (request.columns().empty() ||
                !std::all_of(request.columns().begin(), request.columns().end(), pends)) {
                return base::MakeError(
                    absl::StatusCode::kFailedPrecondition, "DROP_NOT_PENDING",
                    absl::StrCat("Of ", request.schema(), ".", request.table(),
                                 pending.empty() ? " no drop is pending"
                                                 : absl::StrCat(" the drop of these columns is pending: ",
                                                                absl::StrJoin(pending, ", ")),
                                 "."),
                    "Name columns whose drop pends; `millrace table list` shows them.");
            }
            wanted.set_drop_counter(wanted.drop_counter() + 1);
            *wanted.mutable_drop_columns() = request.columns();
            return absl::OkStatus();
        });
}

absl::StatusOr<v1::Pipeline> Pipelines::ReplayDeadLetters(
    const v1::ReplayPipelineTableDeadLettersRequest& request) {
    return OrderTable(
        request.name(), request.schema(), request.table(),
        MakeEvent(v1::PipelineEvent::TYPE_DEAD_LETTERS_REPLAYED, "a replay of its dead letters was asked for by a user"),
        [&](const v1::TableStatus& status, v1::TableOverride& wanted) -> absl::Status {
            if (status.state() == v1::TableStatus::STATE_PAUSED || status.state() == v1::TableStatus::STATE_HELD) {
                return base::MakeError(
                    absl::StatusCode::kFailedPrecondition, "TABLE_STANDS",
                    absl::StrCat(request.schema(), ".", request.table(),
                                 " is paused or held; its dead letters are applied by the table itself."),
                    "Mend and resume it first.");
            }
            wanted.set_replay_counter(wanted.replay_counter() + 1);
            return absl::OkStatus();
        });
}

absl::StatusOr<v1::ListPipelineEventsResponse> Pipelines::ListEvents(
    const v1::ListPipelineEventsRequest& request) const {
    if (request.page_size() < 0 || (request.has_after_sequence() && request.after_sequence() < 0)) {
        return base::MakeError(absl::StatusCode::kInvalidArgument, "PAGE_INVALID",
                               "page_size or after_sequence is negative.", "Use numbers from 0 on.");
    }
    const int limit = request.page_size() == 0 ? kDefaultEvents : std::min(request.page_size(), kMostEvents);
    v1::ListPipelineEventsResponse response;
    const absl::Status read = store_.View([&](const store::Reader& reader) -> absl::Status {
        RETURN_IF_ERROR(LoadNamed<v1::Pipeline>(reader, request.parent()).status());
        ASSIGN_OR_RETURN(auto events,
                         store::ReadEvents(reader, request.parent(),
                                           request.has_after_sequence() ? request.after_sequence() : -1,
                                           static_cast<size_t>(limit)));
        response.mutable_events()->Assign(events.begin(), events.end());
        return absl::OkStatus();
    });
    RETURN_IF_ERROR(read);
    return response;
}

}  // namespace millrace::api
