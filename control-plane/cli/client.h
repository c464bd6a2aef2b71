/// The API as the commands use it: blocking calls that return absl::Status with reason and remedy.
/// Not for: output, arguments.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "control-plane/cli/home.h"
#include "millrace/v1/control.pb.h"

namespace millrace::cli {

class Client final {
 public:
    /// `tls_ca`: PEM file of the authority that signed the control plane's certificate; "" for plain text.
    static absl::StatusOr<std::unique_ptr<Client>> Create(const Credentials& credentials,
                                                          const std::string& tls_ca);
    ~Client();

    [[nodiscard]] const std::string& endpoint() const;

    absl::StatusOr<v1::DataPlane> GetDataPlane(const std::string& name);
    absl::StatusOr<v1::Connector> GetConnector(const std::string& name);
    absl::StatusOr<std::vector<v1::Connector>> ListConnectors(const std::string& parent);
    absl::StatusOr<v1::Connector> CreateConnector(const v1::CreateConnectorRequest& request);
    absl::StatusOr<v1::Connector> UpdateConnector(const v1::UpdateConnectorRequest& request);
    absl::Status DeleteConnector(const std::string& name);
    absl::StatusOr<v1::CheckConnectorResponse> CheckConnector(const v1::CheckConnectorRequest& request);
    absl::StatusOr<v1::Pipeline> GetPipeline(const std::string& name);
    absl::StatusOr<std::vector<v1::Pipeline>> ListPipelines(const std::string& parent);
    absl::StatusOr<v1::Pipeline> CreatePipeline(const v1::CreatePipelineRequest& request);
    absl::StatusOr<v1::Pipeline> UpdatePipeline(const v1::UpdatePipelineRequest& request);
    absl::StatusOr<v1::Pipeline> DeletePipeline(const std::string& name, bool force);
    /// Findings are filled in also when the call fails because of them.
    absl::StatusOr<v1::Pipeline> DeployPipeline(const std::string& name, bool validate_only,
                                                std::vector<v1::Finding>& findings);
    absl::StatusOr<v1::Pipeline> PausePipeline(const std::string& name);
    absl::StatusOr<v1::Pipeline> ResumePipeline(const std::string& name);
    absl::StatusOr<v1::Pipeline> PauseTable(const v1::PausePipelineTableRequest& request);
    absl::StatusOr<v1::Pipeline> ResumeTable(const v1::ResumePipelineTableRequest& request);
    absl::StatusOr<v1::Pipeline> ResyncTable(const v1::ResyncPipelineTableRequest& request);
    absl::StatusOr<v1::Pipeline> StartBackfill(const v1::StartPipelineTableBackfillRequest& request);
    absl::StatusOr<v1::Pipeline> PauseBackfill(const v1::PausePipelineTableBackfillRequest& request);
    absl::StatusOr<v1::Pipeline> ResumeBackfill(const v1::ResumePipelineTableBackfillRequest& request);
    absl::StatusOr<v1::Pipeline> CancelBackfill(const v1::CancelPipelineTableBackfillRequest& request);
    absl::StatusOr<v1::Pipeline> ConfirmDrop(const v1::ConfirmPipelineTableDropRequest& request);
    absl::StatusOr<v1::Pipeline> SkipTable(const v1::SkipPipelineTableRequest& request);
    absl::StatusOr<v1::Pipeline> ReplayDeadLetters(const v1::ReplayPipelineTableDeadLettersRequest& request);
    absl::StatusOr<v1::Pipeline> ResyncPipeline(const std::string& name);
    absl::StatusOr<v1::ListPipelineEventsResponse> ListEvents(const v1::ListPipelineEventsRequest& request);
    absl::StatusOr<std::string> MarkSourcePosition(const std::string& name);
    absl::StatusOr<v1::GetCaughtUpResponse> GetCaughtUp(const std::string& name, const std::string& position);

 private:
    struct Impl;
    explicit Client(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::cli
