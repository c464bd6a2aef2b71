/// What the control plane may ask of a worker: checks, table lists, positions, caught-up. Not for: threads
/// and deadlines (command_pool), the wire (control_link).
#pragma once

#include <string>
#include <vector>

#include "connectors/sdk/connector.h"
#include "connectors/sdk/finding.h"
#include "data-plane/agent/assignment.h"
#include "data-plane/agent/caught_up.h"
#include "data-plane/config/pipeline_config.h"

namespace millrace::v1 {
class CaughtUpCommand;
class CheckCommand;
class CheckPipelineCommand;
class Command;
class CommandResult;
class ListTablesCommand;
class MarkPositionCommand;
}  // namespace millrace::v1

namespace millrace::agent {

/// Thread-safe; what it is given outlives it.
class Commands final {
 public:
    Commands(const sdk::ConnectorRegistry& registry, const Translator& translator, config::KafkaConfig kafka);

    /// Runs one command and fills `result`, its id included; errors become code, message (with remedy) and
    /// reason. Blocks on source, destination and Kafka for as long as they take.
    void Execute(const v1::Command& command, v1::CommandResult* result);

 private:
    absl::Status Check(const v1::CheckCommand& command, v1::CommandResult* result);
    absl::Status ListTables(const v1::ListTablesCommand& command, v1::CommandResult* result);
    absl::Status MarkPosition(const v1::MarkPositionCommand& command, v1::CommandResult* result);
    absl::Status CheckCaughtUp(const v1::CaughtUpCommand& command, v1::CommandResult* result);
    absl::Status CheckPipeline(const v1::CheckPipelineCommand& command, v1::CommandResult* result);

    [[nodiscard]] absl::StatusOr<std::unique_ptr<sdk::Source>> MakeSource(
        const config::ConnectorConfig& config, const std::string& stream) const;
    [[nodiscard]] absl::StatusOr<std::unique_ptr<sdk::Source>> OpenSource(const v1::ConnectorSpec& spec,
                                                                          const std::string& stream) const;
    [[nodiscard]] absl::StatusOr<std::unique_ptr<sdk::Destination>> MakeDestination(
        const config::ConnectorConfig& config) const;
    [[nodiscard]] absl::StatusOr<SourceTables> TablesOf(const config::PipelineConfig& pipeline) const;
    [[nodiscard]] sdk::Findings CheckKafka(const config::PipelineConfig& pipeline) const;
    [[nodiscard]] sdk::Findings CheckSource(const config::PipelineConfig& pipeline) const;
    [[nodiscard]] sdk::Findings CheckPlaces(const config::PipelineConfig& pipeline) const;
    [[nodiscard]] sdk::Findings CheckDestination(const config::PipelineConfig& pipeline) const;

    const sdk::ConnectorRegistry& registry_;
    const Translator& translator_;
    config::KafkaConfig kafka_;
    CaughtUp caught_up_;
};

}  // namespace millrace::agent
