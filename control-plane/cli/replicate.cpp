#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <thread>

#include "base/status.h"
#include "control-plane/cli/commands.h"
#include "control-plane/cli/render.h"

namespace millrace::cli {
namespace {

constexpr std::chrono::seconds kFactsGrace{5};
constexpr int kPlaneAttempts = 75;
constexpr std::chrono::milliseconds kPlaneInterval{200};

/// A pipeline id out of a database's name: lower-case letters, digits and '-'.
std::string Suggest(const v1::ConnectorSpec& source) {
    std::string text;
    for (const char* option : {"database", "path"}) {
        if (const auto found = source.options().find(option); found != source.options().end()) {
            text = found->second.substr(found->second.rfind('/') + 1);
            break;
        }
    }
    std::string id;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (std::isalnum(byte) != 0 && byte < 0x80) {
            id += static_cast<char>(std::tolower(byte));
        } else if (!id.empty() && id.back() != '-') {
            id += '-';
        }
    }
    while (!id.empty() && id.back() == '-') {
        id.pop_back();
    }
    return id.empty() ? "pipeline" : id.substr(0, 30);
}

absl::Status Check(Client& client, const Scope& scope, const v1::ConnectorSpec& spec, bool as_source,
                   const ReplicateArguments& arguments) {
    v1::CheckConnectorRequest request;
    *request.mutable_spec() = spec;
    request.set_parent(scope.TenantName());
    request.set_role(as_source ? v1::CheckConnectorRequest::ROLE_SOURCE
                               : v1::CheckConnectorRequest::ROLE_DESTINATION);
    if (as_source) {
        request.mutable_tables()->Assign(arguments.tables.begin(), arguments.tables.end());
        request.mutable_exclude()->Assign(arguments.exclude.begin(), arguments.exclude.end());
        request.mutable_keys()->insert(arguments.keys.begin(), arguments.keys.end());
    }
    std::fprintf(stderr, "Checking the %s\n", as_source ? "source" : "destination");
    ASSIGN_OR_RETURN(const auto response, client.CheckConnector(request));
    const std::vector<v1::Finding> findings(response.findings().begin(), response.findings().end());
    std::fputs(RenderFindings(findings, true).c_str(), stderr);
    if (!HasCritical(findings)) {
        return absl::OkStatus();
    }
    const auto first = std::find_if(findings.begin(), findings.end(), [](const v1::Finding& f) {
        return f.severity() == v1::Finding::SEVERITY_CRITICAL;
    });
    return base::MakeError(absl::StatusCode::kFailedPrecondition, first->code(), first->message(),
                           first->remedy());
}

/// What Replicate has made so far, taken back unless it is kept: a failure leaves nothing half-made.
class Made final {
 public:
    explicit Made(Client& client) : client_(client) {}
    ~Made() {
        if (!pipeline_.empty()) {
            (void)client_.DeletePipeline(pipeline_, true);
        }
        for (const std::string& connector : connectors_) {
            (void)client_.DeleteConnector(connector);
        }
    }
    void AddConnector(const std::string& name) { connectors_.push_back(name); }
    void SetPipeline(const std::string& name) { pipeline_ = name; }
    void Keep() {
        pipeline_.clear();
        connectors_.clear();
    }

 private:
    Client& client_;
    std::string pipeline_;
    std::vector<std::string> connectors_;
};

absl::Status MakeConnector(Client& client, const Scope& scope, const std::string& id,
                           const std::string& pipeline, const v1::ConnectorSpec& spec, Made& made) {
    v1::CreateConnectorRequest request;
    request.set_parent(scope.TenantName());
    request.set_connector_id(id);
    *request.mutable_connector()->mutable_spec() = spec;
    // Deleted with its pipeline.
    (*request.mutable_connector()->mutable_metadata()->mutable_labels())["pipeline"] = pipeline;
    RETURN_IF_ERROR(client.CreateConnector(request).status());
    made.AddConnector(scope.ConnectorName(id));
    return absl::OkStatus();
}

absl::Status MakeAndDeploy(Client& client, const Scope& scope, const std::string& id,
                           const v1::ConnectorSpec& source, const v1::ConnectorSpec& destination,
                           const ReplicateArguments& arguments) {
    Made made(client);
    RETURN_IF_ERROR(MakeConnector(client, scope, id + "-source", id, source, made));
    RETURN_IF_ERROR(MakeConnector(client, scope, id + "-destination", id, destination, made));
    v1::CreatePipelineRequest request;
    request.set_parent(scope.TenantName());
    request.set_pipeline_id(id);
    v1::PipelineSpec& spec = *request.mutable_pipeline()->mutable_spec();
    spec.set_source(scope.ConnectorName(id + "-source"));
    spec.set_destination(scope.ConnectorName(id + "-destination"));
    spec.mutable_tables()->Assign(arguments.tables.begin(), arguments.tables.end());
    spec.mutable_exclude()->Assign(arguments.exclude.begin(), arguments.exclude.end());
    spec.mutable_keys()->insert(arguments.keys.begin(), arguments.keys.end());
    spec.set_codec(CodecOf(arguments.codec));
    RETURN_IF_ERROR(client.CreatePipeline(request).status());
    made.SetPipeline(scope.PipelineName(id));
    std::fprintf(stderr, "Deploying pipeline '%s'\n", id.c_str());
    std::vector<v1::Finding> findings;
    const absl::Status status = client.DeployPipeline(scope.PipelineName(id), false, findings).status();
    std::fputs(RenderFindings(findings, false).c_str(), stderr);
    RETURN_IF_ERROR(status);
    made.Keep();
    return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::DataPlane> PlaneForSealing(Client& client, const Scope& scope) {
    v1::DataPlane plane;
    for (int i = 0; i < kPlaneAttempts; ++i) {
        ASSIGN_OR_RETURN(plane, client.GetDataPlane(scope.PlaneName()));
        if (!plane.status().public_key_pem().empty() && plane.status().descriptors_size() > 0) {
            bool first_use = false;
            RETURN_IF_ERROR(PinPlaneKey(client.endpoint(), scope.PlaneName(),
                                        plane.status().key_fingerprint(), first_use));
            if (first_use) {
                std::fprintf(stderr, "Secrets are sealed to data plane '%s', key %s (remembered)\n",
                             scope.data_plane.c_str(), plane.status().key_fingerprint().c_str());
            }
            return plane;
        }
        std::this_thread::sleep_for(kPlaneInterval);
    }
    return base::MakeError(absl::StatusCode::kUnavailable, "PLANE_NOT_CONNECTED",
                           "no worker of data plane '" + scope.data_plane + "' has connected yet",
                           "Start millrace-worker there and try again");
}

absl::Status Replicate(Client& client, const Scope& scope, const ReplicateArguments& given) {
    ReplicateArguments arguments = given;
    ASSIGN_OR_RETURN(const v1::DataPlane plane, PlaneForSealing(client, scope));
    ASSIGN_OR_RETURN(v1::ConnectorSpec source, BuildConnectorSpec(arguments.source, plane));
    ASSIGN_OR_RETURN(const v1::ConnectorSpec destination, BuildConnectorSpec(arguments.destination, plane));
    const std::string id = arguments.name.empty() ? Suggest(source) : arguments.name;
    if (client.GetPipeline(scope.PipelineName(id)).ok()) {
        return base::MakeError(absl::StatusCode::kAlreadyExists, "PIPELINE_EXISTS",
                               "a pipeline '" + id + "' exists already",
                               "Choose another --name, or change it with `millrace apply`");
    }
    absl::Status checked = Check(client, scope, source, true, arguments);
    if (base::ReasonOf(checked) == "AUTH_FAILED" && source.sealed_secrets().empty() &&
        isatty(STDIN_FILENO) == 1) {
        arguments.source.password = base::Secret("prompt");
        ASSIGN_OR_RETURN(source, BuildConnectorSpec(arguments.source, plane));
        checked = Check(client, scope, source, true, arguments);
    }
    RETURN_IF_ERROR(checked);
    RETURN_IF_ERROR(Check(client, scope, destination, false, arguments));
    RETURN_IF_ERROR(MakeAndDeploy(client, scope, id, source, destination, arguments));
    if (arguments.no_wait) {
        std::printf("Pipeline '%s' is deployed; `millrace status %s --watch` shows it.\n", id.c_str(),
                    id.c_str());
        return absl::OkStatus();
    }
    const auto began = std::chrono::steady_clock::now();
    RETURN_IF_ERROR(WaitFor(client, scope, id, "caught-up", arguments.timeout, true));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    std::printf("Pipeline '%s' is live and caught up (%.1f s).\n", id.c_str(), took.count());
    // Facts are a heartbeat old: give them time to say the same.
    (void)WaitFor(client, scope, id, "live", kFactsGrace, false);
    ASSIGN_OR_RETURN(const v1::Pipeline pipeline, client.GetPipeline(scope.PipelineName(id)));
    std::fputs(RenderPipelineStatus(pipeline).c_str(), stdout);
    return absl::OkStatus();
}

}  // namespace millrace::cli
