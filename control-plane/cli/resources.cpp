#include <cstdio>
#include <set>
#include <thread>

#include "base/status.h"
#include "control-plane/cli/commands.h"
#include "control-plane/cli/render.h"

namespace millrace::cli {
namespace {

constexpr std::chrono::seconds kRemovalTimeout{90};
constexpr std::chrono::milliseconds kPollInterval{250};
constexpr char kPipelineLabel[] = "pipeline";

void Print(const std::string& text) {
    std::fputs(text.c_str(), stdout);
}

/// "prod" or a full resource name.
std::string Full(const Scope& scope, const std::string& connector) {
    return connector.find('/') == std::string::npos ? scope.ConnectorName(connector) : connector;
}

/// Connectors that `millrace replicate` made for this pipeline alone.
absl::Status DeleteOwnedConnectors(Client& client, const Scope& scope, const std::string& pipeline) {
    ASSIGN_OR_RETURN(const auto connectors, client.ListConnectors(scope.TenantName()));
    for (const v1::Connector& connector : connectors) {
        const auto label = connector.metadata().labels().find(kPipelineLabel);
        if (label != connector.metadata().labels().end() && label->second == pipeline) {
            const absl::Status status = client.DeleteConnector(connector.metadata().name());
            if (!status.ok() && !absl::IsFailedPrecondition(status)) {
                return status;
            }
        }
    }
    return absl::OkStatus();
}

}  // namespace

absl::Status CreateConnector(Client& client, const Scope& scope, const std::string& id,
                             const ConnectorInput& input) {
    ASSIGN_OR_RETURN(const v1::DataPlane plane, PlaneForSealing(client, scope));
    v1::CreateConnectorRequest request;
    request.set_parent(scope.TenantName());
    request.set_connector_id(id);
    ASSIGN_OR_RETURN(*request.mutable_connector()->mutable_spec(), BuildConnectorSpec(input, plane));
    RETURN_IF_ERROR(client.CreateConnector(request).status());
    Print("Connector '" + id + "' created.\n");
    return absl::OkStatus();
}

absl::Status ListConnectors(Client& client, const Scope& scope, const std::string& output) {
    ASSIGN_OR_RETURN(const auto connectors, client.ListConnectors(scope.TenantName()));
    Print(output == "json" ? ConnectorsAsJson(connectors) : RenderConnectorList(connectors));
    return absl::OkStatus();
}

absl::Status DescribeConnector(Client& client, const Scope& scope, const std::string& id) {
    ASSIGN_OR_RETURN(const v1::Connector connector, client.GetConnector(scope.ConnectorName(id)));
    Print(ConnectorsAsJson({connector}));
    return absl::OkStatus();
}

absl::Status DeleteConnector(Client& client, const Scope& scope, const std::string& id) {
    RETURN_IF_ERROR(client.DeleteConnector(scope.ConnectorName(id)));
    Print("Connector '" + id + "' deleted.\n");
    return absl::OkStatus();
}

v1::PipelineSpec::Codec CodecOf(const std::string& name) {
    return name == "debezium-json" ? v1::PipelineSpec::CODEC_DEBEZIUM_JSON : v1::PipelineSpec::CODEC_NATIVE;
}

absl::Status CreatePipeline(Client& client, const Scope& scope, const std::string& id,
                            const PipelineInput& input) {
    v1::CreatePipelineRequest request;
    request.set_parent(scope.TenantName());
    request.set_pipeline_id(id);
    v1::PipelineSpec& spec = *request.mutable_pipeline()->mutable_spec();
    spec.set_source(Full(scope, input.source));
    spec.set_destination(Full(scope, input.destination));
    spec.mutable_tables()->Assign(input.tables.begin(), input.tables.end());
    spec.mutable_exclude()->Assign(input.exclude.begin(), input.exclude.end());
    spec.mutable_keys()->insert(input.keys.begin(), input.keys.end());
    spec.set_codec(CodecOf(input.codec));
    RETURN_IF_ERROR(client.CreatePipeline(request).status());
    Print("Pipeline '" + id + "' created as a draft; `millrace pipeline deploy " + id +
          "` checks and starts it.\n");
    return absl::OkStatus();
}

absl::Status ListPipelines(Client& client, const Scope& scope, const std::string& output) {
    ASSIGN_OR_RETURN(const auto pipelines, client.ListPipelines(scope.TenantName()));
    Print(output == "json" ? PipelinesAsJson(pipelines) : RenderPipelineList(pipelines));
    return absl::OkStatus();
}

absl::Status DescribePipeline(Client& client, const Scope& scope, const std::string& id) {
    ASSIGN_OR_RETURN(const v1::Pipeline pipeline, client.GetPipeline(scope.PipelineName(id)));
    Print(PipelinesAsJson({pipeline}));
    return absl::OkStatus();
}

absl::Status DeployPipeline(Client& client, const Scope& scope, const std::string& id, bool check_only) {
    std::vector<v1::Finding> findings;
    const absl::Status status = client.DeployPipeline(scope.PipelineName(id), check_only, findings).status();
    std::fputs(RenderFindings(findings, true).c_str(), stderr);
    RETURN_IF_ERROR(status);
    Print(check_only ? "Pipeline '" + id + "' can be deployed.\n" : "Pipeline '" + id + "' is deployed.\n");
    return absl::OkStatus();
}

absl::Status PausePipeline(Client& client, const Scope& scope, const std::string& id) {
    RETURN_IF_ERROR(client.PausePipeline(scope.PipelineName(id)).status());
    Print("Pipeline '" + id + "' is pausing: changes go on into Kafka, nothing is applied.\n");
    return absl::OkStatus();
}

absl::Status ResumePipeline(Client& client, const Scope& scope, const std::string& id) {
    RETURN_IF_ERROR(client.ResumePipeline(scope.PipelineName(id)).status());
    Print("Pipeline '" + id + "' resumes.\n");
    return absl::OkStatus();
}

absl::Status ResyncPipeline(Client& client, const Scope& scope, const std::string& id, bool confirm) {
    if (!confirm) {
        ASSIGN_OR_RETURN(const v1::Pipeline pipeline, client.GetPipeline(scope.PipelineName(id)));
        return base::MakeError(
            absl::StatusCode::kFailedPrecondition, "CONFIRM",
            "pipeline '" + id + "' would get a new replication slot, and all its " +
                std::to_string(pipeline.status().tables_size()) +
                " tables would be emptied and copied anew; readers of the destination would see them empty or "
                "partly filled meanwhile",
            "To do so repeat the command with --confirm; one table alone: `millrace table resync`");
    }
    RETURN_IF_ERROR(client.ResyncPipeline(scope.PipelineName(id)).status());
    Print("Pipeline '" + id + "' is copied anew with a new replication slot; `millrace wait " + id +
          " --for caught-up` waits for the end.\n");
    return absl::OkStatus();
}

absl::Status DeletePipeline(Client& client, const Scope& scope, const std::string& id, bool force,
                            bool no_wait) {
    const std::string name = scope.PipelineName(id);
    RETURN_IF_ERROR(client.DeletePipeline(name, force).status());
    const auto deadline = std::chrono::steady_clock::now() + kRemovalTimeout;
    while (!force) {
        const absl::StatusOr<v1::Pipeline> pipeline = client.GetPipeline(name);
        if (absl::IsNotFound(pipeline.status())) {
            break;
        }
        if (no_wait) {
            Print("Pipeline '" + id + "' is being deleted.\n");
            return absl::OkStatus();
        }
        if (std::chrono::steady_clock::now() > deadline) {
            const std::string why =
                pipeline.ok() ? pipeline->status().message() : std::string(pipeline.status().message());
            return base::MakeError(
                absl::StatusCode::kDeadlineExceeded, "REMOVAL_PENDING",
                "the data plane has not yet removed what pipeline '" + id + "' made" +
                    (why.empty() ? "" : ": " + why),
                "It goes on trying; --force forgets the pipeline and leaves slot, publications and topics");
        }
        std::this_thread::sleep_for(kPollInterval);
    }
    RETURN_IF_ERROR(DeleteOwnedConnectors(client, scope, id));
    Print("Pipeline '" + id + "' deleted; the destination's tables stay.\n");
    return absl::OkStatus();
}

absl::Status ShowStatus(Client& client, const Scope& scope, const std::string& id, const std::string& output,
                        bool watch) {
    while (true) {
        std::vector<v1::Pipeline> pipelines;
        if (id.empty()) {
            ASSIGN_OR_RETURN(pipelines, client.ListPipelines(scope.TenantName()));
        } else {
            ASSIGN_OR_RETURN(v1::Pipeline one, client.GetPipeline(scope.PipelineName(id)));
            pipelines.push_back(std::move(one));
        }
        std::string text;
        if (output == "json") {
            text = PipelinesAsJson(pipelines);
        } else if (pipelines.empty()) {
            text = RenderPipelineList(pipelines);
        } else {
            for (const v1::Pipeline& pipeline : pipelines) {
                text += RenderPipelineStatus(pipeline);
            }
        }
        Print((watch && output != "json" ? "\033[H\033[2J" : "") + text);
        std::fflush(stdout);
        if (!watch) {
            return absl::OkStatus();
        }
        std::this_thread::sleep_for(std::chrono::seconds(1));
    }
}

}  // namespace millrace::cli
