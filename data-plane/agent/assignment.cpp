#include "data-plane/agent/assignment.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/status.h"
#include "millrace/v1/link.pb.h"

namespace millrace::agent {
namespace {

absl::Status Invalid(std::string_view message, std::string_view remedy = {}) {
    return base::MakeError(absl::StatusCode::kInvalidArgument, "PIPELINE_INVALID", message, remedy);
}

bool IsPipelineId(const std::string& id) {
    return !id.empty() && std::all_of(id.begin(), id.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    });
}

absl::StatusOr<config::BackfillRules> Backfill(const v1::BackfillRules& proto) {
    if (proto.connections() < 0 || proto.chunk_rows() < 0 || proto.rows_per_second() < 0 || proto.bytes_per_second() < 0) {
        return Invalid("a backfill rule is negative", "Use positive numbers; leave a rule out for its default.");
    }
    config::BackfillRules rules;
    if (proto.connections() > 0) {
        rules.connections = proto.connections();
    }
    rules.chunk_rows = proto.chunk_rows();
    rules.rows_per_second = proto.rows_per_second();
    rules.bytes_per_second = proto.bytes_per_second();
    return rules;
}

absl::StatusOr<config::FlushRules> Flush(const v1::FlushRules& proto) {
    const bool negative = proto.rows() < 0 || proto.bytes() < 0 || proto.interval().seconds() < 0 ||
                          proto.interval().nanos() < 0;
    if (negative) {
        return Invalid("a flush rule is negative", "Use positive numbers; leave a rule out for its default.");
    }
    config::FlushRules rules;
    if (proto.rows() > 0) {
        rules.rows = proto.rows();
    }
    if (proto.bytes() > 0) {
        rules.bytes = base::ByteCount(proto.bytes());
    }
    if (proto.has_interval()) {
        const auto interval = std::chrono::duration_cast<std::chrono::milliseconds>(
            std::chrono::seconds(proto.interval().seconds()) +
            std::chrono::nanoseconds(proto.interval().nanos()));
        if (interval.count() > 0) {
            rules.interval = interval;
        }
    }
    return rules;
}

absl::StatusOr<sdk::RefusedValues> Refused(v1::PipelineSpec::RefusedValues proto) {
    switch (proto) {
        case v1::PipelineSpec::REFUSED_VALUES_UNSPECIFIED:
        case v1::PipelineSpec::REFUSED_VALUES_DEAD_LETTER:
            return sdk::RefusedValues::kDeadLetter;
        case v1::PipelineSpec::REFUSED_VALUES_HOLD:
            return sdk::RefusedValues::kHold;
        case v1::PipelineSpec::REFUSED_VALUES_TEXT:
            return sdk::RefusedValues::kText;
        default:
            return Invalid("what becomes of refused values is nothing that this worker knows",
                           "Upgrade the worker, or set refused_values to dead-letter, hold or text.");
    }
}

absl::StatusOr<bool> DropsColumns(v1::PipelineSpec::DroppedColumns proto) {
    switch (proto) {
        case v1::PipelineSpec::DROPPED_COLUMNS_UNSPECIFIED:
        case v1::PipelineSpec::DROPPED_COLUMNS_KEEP:
            return false;
        case v1::PipelineSpec::DROPPED_COLUMNS_DROP:
            return true;
        default:
            return Invalid("what becomes of dropped columns is nothing that this worker knows",
                           "Upgrade the worker, or set dropped_columns to keep or drop.");
    }
}

absl::StatusOr<config::Codec> CodecOf(v1::PipelineSpec::Codec proto) {
    switch (proto) {
        case v1::PipelineSpec::CODEC_UNSPECIFIED:
        case v1::PipelineSpec::CODEC_NATIVE:
            return config::Codec::kNative;
        case v1::PipelineSpec::CODEC_DEBEZIUM_JSON:
            return config::Codec::kDebeziumJson;
        default:
            return Invalid("the codec is none that this worker knows",
                           "Upgrade the worker, or set codec to native or debezium-json.");
    }
}

absl::Status CheckState(const v1::PipelineSpec& spec) {
    switch (spec.desired_state()) {
        case v1::PipelineSpec::DESIRED_STATE_RUNNING:
        case v1::PipelineSpec::DESIRED_STATE_PAUSED:
        case v1::PipelineSpec::DESIRED_STATE_DELETED:
            return absl::OkStatus();
        default:
            return Invalid("the desired state is none that this worker knows",
                           "Upgrade the worker, or set the pipeline to running, paused or deleted.");
    }
}

absl::Status CheckIdentity(const v1::PipelineConfig& proto) {
    if (proto.name().empty()) {
        return Invalid("the pipeline has no name");
    }
    if (!IsPipelineId(proto.pipeline_id())) {
        return Invalid("the pipeline id is not made of lower-case letters, digits and '-'");
    }
    return absl::OkStatus();
}

// What cannot be opened chooses nothing.
v1::RowChoice OpenChoice(const v1::TableOverride& table, const base::Secret& private_pem) {
    v1::RowChoice choice;
    if (table.sealed_rows().empty()) {
        return choice;
    }
    const absl::StatusOr<base::Secret> plain = base::Unseal(table.sealed_rows(), private_pem);
    if (!plain.ok() || !google::protobuf::util::JsonStringToMessage(plain->Reveal(), &choice).ok()) {
        return v1::RowChoice();
    }
    return choice;
}

// What a pipeline must have to run, beyond what suffices to check it.
absl::Status CheckRunnable(const v1::PipelineConfig& proto) {
    if (proto.uid().empty()) {
        return Invalid("the pipeline has no uid");
    }
    return CheckState(proto.spec());
}

}  // namespace

Translator::Translator(const sdk::ConnectorRegistry& registry, base::KeyPair keys, std::string fingerprint)
    : registry_(registry), keys_(std::move(keys)), fingerprint_(std::move(fingerprint)) {}

absl::Status Translator::OpenSecrets(const v1::ConnectorSpec& spec, sdk::Options& options) const {
    if (spec.sealed_secrets().empty()) {
        return absl::OkStatus();
    }
    if (!spec.sealed_to().empty() && spec.sealed_to() != fingerprint_) {
        return base::MakeError(
            absl::StatusCode::kUnauthenticated, "SEALED_TO_OTHER_KEY",
            "the secrets are sealed to key " + spec.sealed_to() + ", this data plane's key is " +
                fingerprint_,
            "Give the connector's secrets again, so that they are sealed to the present key.");
    }
    ASSIGN_OR_RETURN(const base::Secret plain, base::Unseal(spec.sealed_secrets(), keys_.private_pem));
    const auto json = nlohmann::json::parse(plain.Reveal(), nullptr, /*allow_exceptions=*/false);
    const auto malformed = [] {
        return base::MakeError(absl::StatusCode::kInvalidArgument, "SECRETS_MALFORMED",
                               "the sealed secrets are not a JSON object of texts",
                               "Seal an object such as {\"password\": \"…\"} again.");
    };
    if (!json.is_object()) {
        return malformed();
    }
    for (const auto& [name, value] : json.items()) {
        if (!value.is_string()) {
            return malformed();
        }
        options.secrets.insert_or_assign(name, base::Secret(value.get<std::string>()));
    }
    return absl::OkStatus();
}

absl::StatusOr<config::ConnectorConfig> Translator::Connector(const v1::ConnectorSpec& spec,
                                                              ConnectorUse use) const {
    ASSIGN_OR_RETURN(const sdk::Connector* connector, registry_.Find(spec.type()));
    if (use == ConnectorUse::kSource && !connector->make_source) {
        return base::MakeError(absl::StatusCode::kInvalidArgument, "CONNECTOR_NOT_SOURCE",
                               "connector " + spec.type() + " is no source");
    }
    if (use == ConnectorUse::kDestination && !connector->make_destination) {
        return base::MakeError(absl::StatusCode::kInvalidArgument, "CONNECTOR_NOT_DESTINATION",
                               "connector " + spec.type() + " is no destination");
    }
    config::ConnectorConfig config;
    config.type = spec.type();
    config.options.values.insert(spec.options().begin(), spec.options().end());
    RETURN_IF_ERROR(OpenSecrets(spec, config.options));
    RETURN_IF_ERROR(sdk::CheckOptions(spec.type(), connector->options, config.options));
    return config;
}

absl::StatusOr<config::PipelineConfig> Translator::Pipeline(const v1::PipelineConfig& proto) const {
    RETURN_IF_ERROR(CheckIdentity(proto));
    config::PipelineConfig config;
    config.name = proto.name();
    config.id = proto.pipeline_id();
    config.uid = proto.uid();
    config.generation = proto.generation();
    config.paused = proto.spec().desired_state() == v1::PipelineSpec::DESIRED_STATE_PAUSED;
    config.removed = proto.spec().desired_state() == v1::PipelineSpec::DESIRED_STATE_DELETED;
    config.selection.tables.assign(proto.spec().tables().begin(), proto.spec().tables().end());
    config.selection.exclude.assign(proto.spec().exclude().begin(), proto.spec().exclude().end());
    config.selection.keys.insert(proto.spec().keys().begin(), proto.spec().keys().end());
    if (config.selection.tables.empty() && !config.removed) {
        return Invalid("no tables are selected", "Name tables, e.g. \"public.*\", or \"*.*\" for all.");
    }
    ASSIGN_OR_RETURN(config.flush, Flush(proto.spec().flush()));
    ASSIGN_OR_RETURN(config.backfill, Backfill(proto.spec().backfill()));
    ASSIGN_OR_RETURN(config.refused, Refused(proto.spec().refused_values()));
    ASSIGN_OR_RETURN(config.drop_columns, DropsColumns(proto.spec().dropped_columns()));
    ASSIGN_OR_RETURN(config.codec, CodecOf(proto.spec().codec()));
    for (const v1::ColumnRule& rule : proto.spec().columns()) {
        config.columns.push_back({.table = rule.table(),
                                  .include = {rule.include().begin(), rule.include().end()},
                                  .exclude = {rule.exclude().begin(), rule.exclude().end()},
                                  .hash = {rule.hash().begin(), rule.hash().end()}});
    }
    for (const v1::TableOverride& table : proto.spec().table_overrides()) {
        const v1::RowChoice rows = OpenChoice(table, keys_.private_pem);
        std::vector<std::vector<std::string>> keys;
        for (const v1::RowChoice::Key& key : rows.keys()) {
            keys.emplace_back(key.cells().begin(), key.cells().end());
        }
        config.overrides.push_back(
            {.schema = table.schema(),
             .table = table.table(),
             .paused = table.paused(),
             .resync_counter = table.resync_counter(),
             .resume_counter = table.resume_counter(),
             .skip_first = table.skip_first_offset(),
             .skip_next = table.skip_next_offset(),
             .drop_counter = table.drop_counter(),
             .drop_columns = {table.drop_columns().begin(), table.drop_columns().end()},
             .replay_counter = table.replay_counter(),
             .backfill_paused = table.backfill_paused(),
             .backfill_priority = table.backfill_priority(),
             .backfill_cancel_counter = table.backfill_cancel_counter(),
             .backfill_counter = table.backfill_counter(),
             .backfill_where = rows.where(),
             .backfill_keys = std::move(keys)});
    }
    config.resync_counter = proto.spec().resync_counter();
    auto source = Connector(proto.source(), ConnectorUse::kSource);
    if (!source.ok()) {
        return base::Annotate(source.status(), "source");
    }
    config.source = *std::move(source);
    auto destination = Connector(proto.destination(), ConnectorUse::kDestination);
    if (!destination.ok()) {
        return base::Annotate(destination.status(), "destination");
    }
    config.destination = *std::move(destination);
    return config;
}

Assignment Translator::Snapshot(const v1::ConfigSnapshot& snapshot) const {
    Assignment assignment;
    std::map<std::string, int> times;
    for (const v1::PipelineConfig& proto : snapshot.pipelines()) {
        ++times[proto.name()];
    }
    for (const v1::PipelineConfig& proto : snapshot.pipelines()) {
        absl::Status runnable = CheckRunnable(proto);
        if (times[proto.name()] > 1) {
            runnable = Invalid("the pipeline stands more than once in the configuration");
        }
        absl::StatusOr<config::PipelineConfig> config = runnable.ok() ? Pipeline(proto) : runnable;
        if (config.ok()) {
            assignment.pipelines.push_back(*std::move(config));
        } else {
            assignment.refused.push_back({proto.name(), config.status()});
        }
    }
    return assignment;
}

}  // namespace millrace::agent
