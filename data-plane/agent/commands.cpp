#include "data-plane/agent/commands.h"

#include <future>
#include <utility>

#include "base/status.h"
#include "base/text.h"
#include "data-plane/bus/record_limits.h"
#include "data-plane/bus/topic_admin.h"
#include "data-plane/columns/masked_source.h"
#include "data-plane/config/topic_name.h"
#include "data-plane/publish/stream_position.h"
#include "millrace/v1/link.pb.h"

namespace millrace::agent {
namespace {

constexpr std::chrono::seconds kKafkaTimeout{5};
// Names nothing at a source or destination: a connector on its own belongs to no pipeline yet.
constexpr char kNoPipeline[] = "check";

void AddFindings(const sdk::Findings& findings, v1::CommandResult* result) {
    for (const sdk::Finding& finding : findings) {
        v1::Finding& out = *result->add_findings();
        out.set_code(finding.code);
        out.set_severity(static_cast<v1::Finding::Severity>(finding.severity));
        out.set_message(finding.message);
        out.set_remedy(finding.remedy);
        out.set_subject(finding.subject);
    }
}

template <typename Message>
sdk::TableSelection SelectionOf(const Message& message) {
    sdk::TableSelection selection;
    selection.tables.assign(message.tables().begin(), message.tables().end());
    selection.exclude.assign(message.exclude().begin(), message.exclude().end());
    if (selection.tables.empty()) {
        selection.tables = {"*.*"};
    }
    return selection;
}

// Topics that were there before us keep their limits, and so do brokers; both are asked. What the user may
// not see is no finding: producing says so by name.
void CheckRecordSizes(const config::KafkaConfig& kafka, const std::string& pipeline_id,
                      bus::TopicAdmin& admin, sdk::Findings& findings) {
    const int64_t needed = bus::MaxMessageBytes(kafka);
    if (const auto topics = admin.ListTopics(kafka.topic_prefix + "." + pipeline_id + ".", kKafkaTimeout);
        topics.ok()) {
        const auto limits = admin.MessageLimits(*topics, kKafkaTimeout);
        for (const auto& [topic, bytes] : limits.ok() ? *limits : std::map<std::string, int64_t>{}) {
            if (bytes < needed) {
                findings.push_back(
                    {"KAFKA_RECORD_SIZE", sdk::Severity::kCritical,
                     base::Concat("topic ", topic, " takes records of ", bytes,
                                  " bytes; larger changes could not be written"),
                     base::Concat("Set its max.message.bytes to ", needed,
                                  ", or give the worker --kafka-property message.max.bytes=", bytes),
                     topic});
            }
        }
    }
    const auto fetch = kafka.replication_factor > 1 ? admin.ReplicaFetchLimits(kKafkaTimeout)
                                                    : std::map<std::string, int64_t>{};
    for (const auto& [broker, bytes] : fetch.ok() ? *fetch : std::map<std::string, int64_t>{}) {
        if (bytes < needed) {
            findings.push_back(
                {"KAFKA_REPLICA_FETCH", sdk::Severity::kWarning,
                 base::Concat("broker ", broker, " fetches ", bytes,
                              " bytes at a time for its replicas; larger records are copied one by one"),
                 base::Concat("Set replica.fetch.max.bytes of the broker to ", needed), broker});
        }
    }
}

}  // namespace

Commands::Commands(const sdk::ConnectorRegistry& registry, const Translator& translator,
                   config::KafkaConfig kafka)
    : registry_(registry), translator_(translator), kafka_(std::move(kafka)) {}

void Commands::Execute(const v1::Command& command, v1::CommandResult* result) {
    absl::Status status;
    switch (command.kind_case()) {
        case v1::Command::kCheck:
            status = Check(command.check(), result);
            break;
        case v1::Command::kListTables:
            status = ListTables(command.list_tables(), result);
            break;
        case v1::Command::kMarkPosition:
            status = MarkPosition(command.mark_position(), result);
            break;
        case v1::Command::kCaughtUp:
            status = CheckCaughtUp(command.caught_up(), result);
            break;
        case v1::Command::kCheckPipeline:
            status = CheckPipeline(command.check_pipeline(), result);
            break;
        case v1::Command::KIND_NOT_SET:
            status = base::MakeError(absl::StatusCode::kUnimplemented, "COMMAND_UNKNOWN",
                                     "this worker does not know the command", "Upgrade the worker.");
            break;
    }
    result->set_id(command.id());
    result->set_code(static_cast<int>(status.code()));
    if (!status.ok()) {
        result->set_message(base::Describe(status));
        result->set_reason(base::ReasonOf(status));
    }
}

absl::StatusOr<std::unique_ptr<sdk::Source>> Commands::MakeSource(const config::ConnectorConfig& config,
                                                                  const std::string& stream) const {
    ASSIGN_OR_RETURN(const sdk::Connector* connector, registry_.Find(config.type));
    return connector->make_source(config.options, stream);
}

absl::StatusOr<std::unique_ptr<sdk::Source>> Commands::OpenSource(const v1::ConnectorSpec& spec,
                                                                  const std::string& stream) const {
    ASSIGN_OR_RETURN(const config::ConnectorConfig config,
                     translator_.Connector(spec, ConnectorUse::kSource));
    return MakeSource(config, stream);
}

absl::StatusOr<std::unique_ptr<sdk::Destination>> Commands::MakeDestination(
    const config::ConnectorConfig& config) const {
    ASSIGN_OR_RETURN(const sdk::Connector* connector, registry_.Find(config.type));
    return connector->make_destination(config.options);
}

absl::Status Commands::Check(const v1::CheckCommand& command, v1::CommandResult* result) {
    if (command.as_source()) {
        const auto source = OpenSource(command.connector(), kNoPipeline);
        sdk::TableSelection selection = SelectionOf(command);
        selection.keys.insert(command.keys().begin(), command.keys().end());
        AddFindings(source.ok() ? (*source)->Preflight(selection)
                                : sdk::Findings{sdk::FindingFromStatus(source.status())},
                    result);
    }
    if (command.as_destination()) {
        const auto config = translator_.Connector(command.connector(), ConnectorUse::kDestination);
        const absl::StatusOr<std::unique_ptr<sdk::Destination>> destination =
            config.ok() ? MakeDestination(*config) : config.status();
        AddFindings(destination.ok() ? (*destination)->Preflight({}, {})
                                     : sdk::Findings{sdk::FindingFromStatus(destination.status())},
                    result);
    }
    return absl::OkStatus();
}

absl::Status Commands::ListTables(const v1::ListTablesCommand& command, v1::CommandResult* result) {
    ASSIGN_OR_RETURN(const auto source, OpenSource(command.connector(), kNoPipeline));
    ASSIGN_OR_RETURN(const std::vector<sdk::SourceTable> tables, source->ListTables(SelectionOf(command)));
    for (const sdk::SourceTable& table : tables) {
        v1::SourceTable& out = *result->add_tables();
        out.set_schema(table.schema);
        out.set_table(table.table);
        out.set_estimated_rows(table.estimated_rows);
        out.set_bytes(table.bytes);
        out.mutable_key()->Assign(table.key.begin(), table.key.end());
    }
    return absl::OkStatus();
}

absl::Status Commands::MarkPosition(const v1::MarkPositionCommand& command, v1::CommandResult* result) {
    ASSIGN_OR_RETURN(const config::PipelineConfig pipeline, translator_.Pipeline(command.pipeline()));
    ASSIGN_OR_RETURN(const auto source, MakeSource(pipeline.source, pipeline.id));
    ASSIGN_OR_RETURN(const uint64_t position, source->CurrentPosition());
    RETURN_IF_ERROR(source->Heartbeat());
    result->set_position(publish::PositionText(position));
    return absl::OkStatus();
}

absl::Status Commands::CheckCaughtUp(const v1::CaughtUpCommand& command, v1::CommandResult* result) {
    ASSIGN_OR_RETURN(const config::PipelineConfig pipeline, translator_.Pipeline(command.pipeline()));
    const auto progress = MakeKafkaProgress(kafka_, pipeline.id, kKafkaTimeout);
    ASSIGN_OR_RETURN(const CaughtUpAnswer answer,
                     caught_up_.Check(pipeline.uid, command.position(), *progress, [&] { return TablesOf(pipeline); }));
    result->set_caught_up(answer.caught_up);
    if (!answer.caught_up && pipeline.paused) {
        result->add_waiting_for("the pipeline is paused; resume it");
    }
    for (const std::string& sentence : answer.waiting_for) {
        result->add_waiting_for(sentence);
    }
    return absl::OkStatus();
}

absl::StatusOr<SourceTables> Commands::TablesOf(const config::PipelineConfig& pipeline) const {
    ASSIGN_OR_RETURN(const auto source, MakeSource(pipeline.source, pipeline.id));
    ASSIGN_OR_RETURN(const std::vector<sdk::SourceTable> tables, source->ListTables(pipeline.selection));
    SourceTables ids;
    for (const sdk::SourceTable& table : tables) {
        ids[config::TableTopic(kafka_.topic_prefix, pipeline.id, table.schema, table.table)] = {
            .id = table.id, .stream_entry = table.stream_entry};
    }
    return ids;
}

sdk::Findings Commands::CheckKafka(const config::PipelineConfig& pipeline) const {
    auto admin = bus::TopicAdmin::Create(kafka_);
    const absl::Status status = admin.ok() ? (*admin)->Ping(kKafkaTimeout) : admin.status();
    if (!status.ok()) {
        return {sdk::FindingFromStatus(status, kafka_.brokers)};
    }
    sdk::Findings findings = {
        {"KAFKA", sdk::Severity::kOk, "Kafka answers at " + kafka_.brokers, "", kafka_.brokers}};
    CheckRecordSizes(kafka_, pipeline.id, **admin, findings);
    return findings;
}

sdk::Findings Commands::CheckSource(const config::PipelineConfig& pipeline) const {
    auto source = MakeSource(pipeline.source, pipeline.id);
    if (source.ok()) {
        source = columns::MaskColumns(*std::move(source), pipeline.columns, base::Secret());
    }
    return source.ok() ? (*source)->Preflight(pipeline.selection)
                       : sdk::Findings{sdk::FindingFromStatus(source.status())};
}

sdk::Findings Commands::CheckDestination(const config::PipelineConfig& pipeline) const {
    auto destination = MakeDestination(pipeline.destination);
    if (!destination.ok()) {
        return {sdk::FindingFromStatus(destination.status())};
    }
    std::vector<sdk::TableTarget> targets;
    if (auto source = MakeSource(pipeline.source, pipeline.id); source.ok()) {
        // Where the source does not answer, its own preflight says so; the destination is still checked,
        // without tables.
        if (const auto tables = (*source)->ListTables(pipeline.selection); tables.ok()) {
            for (const sdk::SourceTable& table : *tables) {
                targets.push_back({table.schema, table.table});
            }
        }
    }
    return (*destination)->Preflight({pipeline.name, pipeline.uid, ""}, targets);
}

sdk::Findings Commands::CheckPlaces(const config::PipelineConfig& pipeline) const {
    if (pipeline.source.type != pipeline.destination.type) {
        return {};
    }
    const auto source = MakeSource(pipeline.source, pipeline.id);
    const auto destination = MakeDestination(pipeline.destination);
    if (!source.ok() || !destination.ok()) {
        return {};  // each one's own checks say why
    }
    const auto from = (*source)->Place();
    const auto to = (*destination)->Place();
    if (!from.ok() || !to.ok() || from->empty() || *from != *to) {
        return {};
    }
    return {{"DST_IS_SOURCE", sdk::Severity::kCritical,
             "source and destination are the same database, so that its tables would be replicated into themselves",
             "Choose another database as the destination.", "destination"}};
}

absl::Status Commands::CheckPipeline(const v1::CheckPipelineCommand& command, v1::CommandResult* result) {
    const auto pipeline = translator_.Pipeline(command.pipeline());
    if (!pipeline.ok()) {
        AddFindings({sdk::FindingFromStatus(pipeline.status(), command.pipeline().name())}, result);
        return absl::OkStatus();
    }
    auto source = std::async(std::launch::async, [&] { return CheckSource(*pipeline); });
    auto destination = std::async(std::launch::async, [&] { return CheckDestination(*pipeline); });
    AddFindings(CheckKafka(*pipeline), result);
    AddFindings(source.get(), result);
    AddFindings(destination.get(), result);
    AddFindings(CheckPlaces(*pipeline), result);
    return absl::OkStatus();
}

}  // namespace millrace::agent
