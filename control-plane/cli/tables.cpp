// Verbs of one table, and a pipeline's events.
#include <cstdio>
#include <thread>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "control-plane/cli/commands.h"
#include "control-plane/cli/render.h"
#include "control-plane/cli/table_name.h"

namespace millrace::cli {
namespace {

constexpr std::chrono::milliseconds kFollowInterval{500};
constexpr int kEventsAtOnce = 100;
constexpr std::chrono::milliseconds kReplayInterval{300};
constexpr std::chrono::seconds kReplayTimeout{300};

}  // namespace

absl::Status ListTables(Client& client, const Scope& scope, const std::string& id,
                        const std::string& output) {
    ASSIGN_OR_RETURN(const v1::Pipeline pipeline, client.GetPipeline(scope.PipelineName(id)));
    std::fputs((output == "json" ? TablesAsJson(pipeline.status()) : RenderTables(pipeline.status())).c_str(),
               stdout);
    return absl::OkStatus();
}

absl::Status OrderTable(Client& client, const Scope& scope, const std::string& verb, const std::string& id,
                        const std::string& table) {
    if (verb == "pause") {
        ASSIGN_OR_RETURN(const auto request, Naming<v1::PausePipelineTableRequest>(client, scope, id, table));
        RETURN_IF_ERROR(client.PauseTable(request).status());
        std::printf("Table %s is pausing: its changes go on into Kafka, the other tables go on.\n",
                    table.c_str());
    } else if (verb == "resume") {
        ASSIGN_OR_RETURN(const auto request, Naming<v1::ResumePipelineTableRequest>(client, scope, id, table));
        RETURN_IF_ERROR(client.ResumeTable(request).status());
        std::printf("Table %s resumes.\n", table.c_str());
    } else {
        ASSIGN_OR_RETURN(const auto request, Naming<v1::ResyncPipelineTableRequest>(client, scope, id, table));
        RETURN_IF_ERROR(client.ResyncTable(request).status());
        std::printf("Table %s is copied anew; its rows at the destination stay until all have come again.\n", table.c_str());
    }
    return absl::OkStatus();
}

absl::Status SkipTable(Client& client, const Scope& scope, const std::string& id, const std::string& table,
                       const std::string& offsets) {
    ASSIGN_OR_RETURN(auto request, Naming<v1::SkipPipelineTableRequest>(client, scope, id, table));
    ASSIGN_OR_RETURN(const v1::Pipeline pipeline, client.GetPipeline(scope.PipelineName(id)));
    for (const v1::TableStatus& status : pipeline.status().tables()) {
        if (status.schema() == request.schema() && status.table() == request.table()) {
            request.set_first_offset(status.held_first_offset());
            request.set_next_offset(status.held_next_offset());
            std::fprintf(stderr, "%s is %s%s%s\n", table.c_str(), StateWord(status.state()).c_str(),
                         status.error().empty() ? "" : ": ", status.error().c_str());
        }
    }
    if (request.next_offset() == 0) {
        return base::MakeError(absl::StatusCode::kFailedPrecondition, "SKIP_RANGE",
                               "table " + table + " is not held at any records now",
                               "`millrace table list " + id + "` shows what each table is held at");
    }
    const std::string range = OffsetRange(request.first_offset(), request.next_offset());
    if (offsets != range) {
        return base::MakeError(
            absl::StatusCode::kFailedPrecondition, "SKIP_RANGE",
            std::to_string(request.next_offset() - request.first_offset()) + " offsets (" + range +
                ") of its topic would be passed over; their changes would be missing in the destination",
            "To do so repeat the command with --offsets " + range);
    }
    RETURN_IF_ERROR(client.SkipTable(request).status());
    std::printf("Table %s passes over offsets %s; `millrace table resync` brings the rows back.\n",
                table.c_str(), range.c_str());
    return absl::OkStatus();
}

absl::Status ConfirmDrop(Client& client, const Scope& scope, const std::string& id, const std::string& table,
                         const std::string& columns) {
    ASSIGN_OR_RETURN(auto request, Naming<v1::ConfirmPipelineTableDropRequest>(client, scope, id, table));
    for (const auto name : absl::StrSplit(columns, ',', absl::SkipEmpty())) {
        request.add_columns(std::string(name));
    }
    if (request.columns().empty()) {
        ASSIGN_OR_RETURN(const v1::Pipeline pipeline, client.GetPipeline(scope.PipelineName(id)));
        for (const v1::TableStatus& status : pipeline.status().tables()) {
            if (status.schema() == request.schema() && status.table() == request.table()) {
                *request.mutable_columns() = status.pending_drops();
            }
        }
    }
    RETURN_IF_ERROR(client.ConfirmDrop(request).status());
    std::printf("Table %s: dropped at the destination: %s\n", table.c_str(),
                absl::StrJoin(request.columns(), ", ").c_str());
    return absl::OkStatus();
}

absl::Status ReplayDeadLetters(Client& client, const Scope& scope, const std::string& id,
                               const std::string& table) {
    ASSIGN_OR_RETURN(const auto request, Naming<v1::ReplayPipelineTableDeadLettersRequest>(client, scope, id, table));
    const auto named = [&](const auto& of) {
        return of.schema() == request.schema() && of.table() == request.table();
    };
    ASSIGN_OR_RETURN(v1::Pipeline pipeline, client.ReplayDeadLetters(request));
    int64_t wanted = 0;
    for (const v1::TableOverride& order : pipeline.spec().table_overrides()) {
        wanted = named(order) ? order.replay_counter() : wanted;
    }
    const auto deadline = std::chrono::steady_clock::now() + kReplayTimeout;
    while (std::chrono::steady_clock::now() < deadline) {
        for (const v1::TableStatus& status : pipeline.status().tables()) {
            if (named(status) && status.replay_counter() >= wanted) {
                std::printf("Table %s: %lld dead letters applied, %lld still do not fit.\n", table.c_str(),
                            static_cast<long long>(status.replayed_letters()),
                            static_cast<long long>(status.refused_letters()));
                return absl::OkStatus();
            }
        }
        std::this_thread::sleep_for(kReplayInterval);
        ASSIGN_OR_RETURN(pipeline, client.GetPipeline(request.name()));
    }
    return base::MakeError(absl::StatusCode::kDeadlineExceeded, "REPLAY_PENDING",
                           "no worker has applied the dead letters of " + table + " yet",
                           "`millrace table list " + id + "` shows what the table waits for; it replays them then");
}

absl::Status ShowEvents(Client& client, const Scope& scope, const std::string& id, const std::string& output,
                        bool follow) {
    v1::ListPipelineEventsRequest request;
    request.set_parent(scope.PipelineName(id));
    request.set_page_size(kEventsAtOnce);
    while (true) {
        ASSIGN_OR_RETURN(const v1::ListPipelineEventsResponse response, client.ListEvents(request));
        const std::vector<v1::PipelineEvent> events(response.events().begin(), response.events().end());
        std::fputs((output == "json" ? EventsAsJson(events) : RenderEvents(events)).c_str(), stdout);
        std::fflush(stdout);
        if (!follow) {
            return absl::OkStatus();
        }
        const int64_t seen = request.has_after_sequence() ? request.after_sequence() : 0;
        request.set_after_sequence(events.empty() ? seen : events.back().sequence());
        if (static_cast<int>(events.size()) < kEventsAtOnce) {
            std::this_thread::sleep_for(kFollowInterval);
        }
    }
}

}  // namespace millrace::cli
