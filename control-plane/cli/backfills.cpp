// Verbs of the reading of rows that existed before.
#include <cstdio>
#include <thread>

#include <nlohmann/json.hpp>

#include "absl/strings/str_split.h"
#include "base/seal.h"
#include "base/status.h"
#include "control-plane/cli/commands.h"
#include "control-plane/cli/render.h"
#include "control-plane/cli/table_name.h"

namespace millrace::cli {
namespace {

/// The RowChoice that is sealed: keys and values of rows are for the data plane alone.
base::Secret AsJson(const BackfillChoice& choice) {
    nlohmann::json rows = {{"where", choice.where}, {"keys", nlohmann::json::array()}};
    for (const std::string& key : choice.keys) {
        const std::vector<std::string> cells = absl::StrSplit(key, ',');
        rows["keys"].push_back({{"cells", cells}});
    }
    return base::Secret(rows.dump());
}

}  // namespace

absl::Status ListBackfills(Client& client, const Scope& scope, const std::string& id, const std::string& output, bool watch) {
    while (true) {
        ASSIGN_OR_RETURN(const v1::Pipeline pipeline, client.GetPipeline(scope.PipelineName(id)));
        const bool json = output == "json";
        const std::string text = json ? BackfillsAsJson(pipeline.status()) : RenderBackfills(pipeline.status());
        std::fputs(((watch && !json ? "\033[H\033[2J" : "") + text).c_str(), stdout);
        std::fflush(stdout);
        if (!watch) {
            return absl::OkStatus();
        }
        std::this_thread::sleep_for(std::chrono::seconds(1));
    }
}

absl::Status StartBackfill(Client& client, const Scope& scope, const std::string& id, const std::string& table,
                           const BackfillChoice& choice) {
    ASSIGN_OR_RETURN(auto request, Naming<v1::StartPipelineTableBackfillRequest>(client, scope, id, table));
    const bool chosen = !choice.where.empty() || !choice.keys.empty();
    if (chosen) {
        ASSIGN_OR_RETURN(const v1::DataPlane plane, PlaneForSealing(client, scope));
        ASSIGN_OR_RETURN(const std::string sealed, base::Seal(AsJson(choice), plane.status().public_key_pem()));
        request.set_sealed_rows(sealed);
    }
    if (choice.priority) {
        request.set_priority(*choice.priority);
    }
    RETURN_IF_ERROR(client.StartBackfill(request).status());
    std::printf(chosen ? "Chosen rows of table %s are read again; its changes go on.\n"
                                   : "All rows of table %s are read again; those at the destination stay until then.\n",
                table.c_str());
    return absl::OkStatus();
}

absl::Status OrderBackfill(Client& client, const Scope& scope, const std::string& verb, const std::string& id,
                           const std::string& table) {
    if (verb == "pause") {
        ASSIGN_OR_RETURN(const auto request, Naming<v1::PausePipelineTableBackfillRequest>(client, scope, id, table));
        RETURN_IF_ERROR(client.PauseBackfill(request).status());
        std::printf("No more rows of table %s are read for now; its changes go on.\n", table.c_str());
    } else if (verb == "resume") {
        ASSIGN_OR_RETURN(const auto request, Naming<v1::ResumePipelineTableBackfillRequest>(client, scope, id, table));
        RETURN_IF_ERROR(client.ResumeBackfill(request).status());
        std::printf("Rows of table %s are read again from where it stood.\n", table.c_str());
    } else {
        ASSIGN_OR_RETURN(const auto request, Naming<v1::CancelPipelineTableBackfillRequest>(client, scope, id, table));
        RETURN_IF_ERROR(client.CancelBackfill(request).status());
        std::printf("No more rows of table %s are read; what was read stays, and its changes go on.\n", table.c_str());
    }
    return absl::OkStatus();
}

}  // namespace millrace::cli
