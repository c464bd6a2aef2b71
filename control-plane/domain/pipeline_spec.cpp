#include "control-plane/domain/pipeline_spec.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "control-plane/domain/connector_spec.h"

namespace millrace::domain {
namespace {

constexpr int kMaxGlobs = 1000;
constexpr int kMaxBackfillConnections = 32;
constexpr size_t kMaxGlobBytes = 256;
constexpr size_t kMaxKeys = 10'000;

absl::Status Invalid(const char* reason, const std::string& message, const std::string& remedy) {
    return base::MakeError(absl::StatusCode::kInvalidArgument, reason, message, remedy);
}

absl::Status CheckGlobs(const google::protobuf::RepeatedPtrField<std::string>& globs) {
    if (globs.size() > kMaxGlobs) {
        return Invalid("TABLE_GLOB_INVALID", absl::StrCat("There are more than ", kMaxGlobs, " table globs."),
                       "Use wildcards, e.g. \"sales.*\".");
    }
    for (const std::string& glob : globs) {
        const size_t dot = glob.find('.');
        if (dot == 0 || dot == std::string::npos || dot + 1 == glob.size() || glob.size() > kMaxGlobBytes) {
            return Invalid("TABLE_GLOB_INVALID",
                           absl::StrCat("\"", glob.substr(0, 100), "\" does not name tables."),
                           "Write \"schema.table\"; '*' stands for any letters, \"*.*\" for every table.");
        }
    }
    return absl::OkStatus();
}

absl::Status CheckKeys(const google::protobuf::Map<std::string, std::string>& keys) {
    if (keys.size() > kMaxKeys) {
        return Invalid("KEYS_INVALID", absl::StrCat("Keys are chosen for more than ", kMaxKeys, " tables."),
                       "Make the indexes the tables' replica identity; then they are the keys by themselves.");
    }
    for (const auto& [table, index] : keys) {
        const size_t dot = table.find('.');
        if (dot == 0 || dot == std::string::npos || dot + 1 == table.size() || index.empty()) {
            return Invalid(
                "KEYS_INVALID",
                absl::StrCat("\"", table.substr(0, 100), "\" and \"", index.substr(0, 100), "\" name no key."),
                "Write the table as \"schema.table\" and the name of its unique index.");
        }
    }
    return absl::OkStatus();
}

absl::Status CheckFlush(const v1::FlushRules& flush) {
    const bool negative = flush.rows() < 0 || flush.bytes() < 0 || flush.interval().seconds() < 0 ||
                          flush.interval().nanos() < 0;
    return negative
               ? Invalid("FLUSH_INVALID", "A flush rule is negative.", "Use 0 for the destination's default.")
               : absl::OkStatus();
}

absl::Status CheckBackfill(const v1::BackfillRules& rules) {
    const bool good = rules.connections() >= 0 && rules.connections() <= kMaxBackfillConnections && rules.chunk_rows() >= 0 &&
                      rules.rows_per_second() >= 0 && rules.bytes_per_second() >= 0;
    return good ? absl::OkStatus()
                : Invalid("BACKFILL_INVALID",
                          absl::StrCat("A backfill rule is negative, or there are more than ", kMaxBackfillConnections,
                                       " connections."),
                          "Use 0 for a rule's default.");
}

absl::Status CheckColumns(const google::protobuf::RepeatedPtrField<v1::ColumnRule>& rules) {
    if (rules.size() > kMaxGlobs) {
        return Invalid("COLUMN_RULE_INVALID",
                       absl::StrCat("There are more than ", kMaxGlobs, " column rules."),
                       "Put rules with the same columns into one, with a wildcard for the tables.");
    }
    for (const v1::ColumnRule& rule : rules) {
        google::protobuf::RepeatedPtrField<std::string> table;
        table.Add(std::string(rule.table()));
        RETURN_IF_ERROR(CheckGlobs(table));
        if (rule.include().empty() && rule.exclude().empty() && rule.hash().empty()) {
            return Invalid("COLUMN_RULE_INVALID",
                           absl::StrCat("The column rule for \"", rule.table(), "\" names no column."),
                           "Give it include, exclude or hash, or remove it.");
        }
        for (const auto* names : {&rule.include(), &rule.exclude(), &rule.hash()}) {
            for (const std::string& name : *names) {
                if (name.empty() || name.size() > kMaxGlobBytes) {
                    return Invalid("COLUMN_RULE_INVALID",
                                   absl::StrCat("The column rule for \"", rule.table(),
                                                "\" holds a name that no column has."),
                                   "Write the names of columns as the source has them, without quotes.");
                }
            }
        }
    }
    return absl::OkStatus();
}

}  // namespace

void FillDefaults(v1::PipelineSpec& spec) {
    if (spec.tables().empty()) {
        spec.add_tables("*.*");
    }
    if (spec.desired_state() == v1::PipelineSpec::DESIRED_STATE_UNSPECIFIED) {
        spec.set_desired_state(v1::PipelineSpec::DESIRED_STATE_DRAFT);
    }
}

absl::Status CheckPipelineSpec(const v1::PipelineSpec& spec) {
    if (spec.source().empty()) {
        return Invalid("SOURCE_MISSING", "The pipeline names no source.",
                       "Set spec.source to a connector's name.");
    }
    if (spec.destination().empty()) {
        return Invalid("DESTINATION_MISSING", "The pipeline names no destination.",
                       "Set spec.destination to a connector's name.");
    }
    if (spec.source() == spec.destination()) {
        return Invalid("SAME_CONNECTOR",
                       absl::StrCat("Source and destination are the same connector, ", spec.source(), "."),
                       "Create a connector of its own for the destination.");
    }
    RETURN_IF_ERROR(CheckGlobs(spec.tables()));
    RETURN_IF_ERROR(CheckGlobs(spec.exclude()));
    RETURN_IF_ERROR(CheckKeys(spec.keys()));
    RETURN_IF_ERROR(CheckColumns(spec.columns()));
    if (!v1::PipelineSpec::RefusedValues_IsValid(spec.refused_values())) {
        return Invalid("REFUSED_VALUES_INVALID", "What becomes of refused values is none of the known ways.",
                       "Set refused_values to dead-letter, hold or text.");
    }
    if (!v1::PipelineSpec::DroppedColumns_IsValid(spec.dropped_columns())) {
        return Invalid("DROPPED_COLUMNS_INVALID",
                       "What becomes of dropped columns is none of the known ways.",
                       "Set dropped_columns to keep or drop.");
    }
    if (!v1::PipelineSpec::Codec_IsValid(spec.codec())) {
        return Invalid("CODEC_INVALID", "The codec is none of the known ones.",
                       "Set codec to native or debezium-json.");
    }
    RETURN_IF_ERROR(CheckBackfill(spec.backfill()));
    return CheckFlush(spec.flush());
}

absl::Status CheckPipelineConnectors(const v1::Connector& source, const v1::Connector& destination,
                                     const v1::DataPlane& plane) {
    if (source.spec().data_plane() != destination.spec().data_plane()) {
        return Invalid("DIFFERENT_PLANES",
                       absl::StrCat("The source belongs to ", source.spec().data_plane(),
                                    ", the destination to ", destination.spec().data_plane(), "."),
                       "Use connectors of one data plane.");
    }
    const auto& descriptors = plane.status().descriptors();
    const v1::ConnectorDescriptor* from = FindDescriptor(descriptors, source.spec().type());
    if (from == nullptr || !from->is_source()) {
        return Invalid("NOT_A_SOURCE",
                       absl::StrCat("Connector ", source.metadata().name(), " of type ", source.spec().type(),
                                    " cannot be read from."),
                       "Use a connector whose type is a source.");
    }
    const v1::ConnectorDescriptor* to = FindDescriptor(descriptors, destination.spec().type());
    if (to == nullptr || !to->is_destination()) {
        return Invalid("NOT_A_DESTINATION",
                       absl::StrCat("Connector ", destination.metadata().name(), " of type ",
                                    destination.spec().type(), " cannot be written to."),
                       "Use a connector whose type is a destination.");
    }
    return absl::OkStatus();
}

v1::PipelineConfig MakePipelineConfig(const v1::Pipeline& pipeline, const v1::Connector& source,
                                      const v1::Connector& destination) {
    const std::string& name = pipeline.metadata().name();
    v1::PipelineConfig config;
    config.set_name(name);
    config.set_pipeline_id(name.substr(name.rfind('/') + 1));
    config.set_generation(pipeline.metadata().generation());
    config.set_uid(pipeline.metadata().uid());
    *config.mutable_spec() = pipeline.spec();
    *config.mutable_source() = source.spec();
    *config.mutable_destination() = destination.spec();
    return config;
}

bool IsDeployed(const v1::Pipeline& pipeline) {
    const auto state = pipeline.spec().desired_state();
    return state != v1::PipelineSpec::DESIRED_STATE_DRAFT &&
           state != v1::PipelineSpec::DESIRED_STATE_UNSPECIFIED;
}

}  // namespace millrace::domain
