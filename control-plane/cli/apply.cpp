#include <google/protobuf/util/message_differencer.h>
#include <cstdio>
#include <map>

#include "base/file.h"
#include "base/status.h"
#include "control-plane/cli/commands.h"
#include "control-plane/cli/pipeline_file.h"
#include "control-plane/cli/render.h"

namespace millrace::cli {
namespace {

/// Lines of a diff; a leading '+', '-' or '~' says added, removed, changed.
class Diff final {
 public:
    void Field(const std::string& path, const std::string& before, const std::string& after) {
        if (before == after) {
            return;
        }
        if (before.empty()) {
            lines_.push_back("  + " + path + ": " + after);
        } else if (after.empty()) {
            lines_.push_back("  - " + path + ": " + before);
        } else {
            lines_.push_back("  ~ " + path + ": " + before + " -> " + after);
        }
    }
    [[nodiscard]] bool empty() const { return lines_.empty(); }
    [[nodiscard]] std::string Text() const {
        std::string out;
        for (const std::string& line : lines_) {
            out += line + "\n";
        }
        return out;
    }

 private:
    std::vector<std::string> lines_;
};

std::string Join(const google::protobuf::RepeatedPtrField<std::string>& items) {
    std::string out;
    for (const std::string& item : items) {
        out += (out.empty() ? "" : ", ") + item;
    }
    return out;
}

void DiffConnector(const std::string& path, const v1::ConnectorSpec& before, const v1::ConnectorSpec& after,
                   Diff& diff) {
    diff.Field(path + ".type", before.type(), after.type());
    std::map<std::string, std::pair<std::string, std::string>> options;
    for (const auto& [name, value] : before.options()) {
        options[name].first = value;
    }
    for (const auto& [name, value] : after.options()) {
        options[name].second = value;
    }
    for (const auto& [name, values] : options) {
        diff.Field(path + "." + name, values.first, values.second);
    }
    if (before.sealed_secrets() != after.sealed_secrets()) {
        diff.Field(path + ".secrets", before.sealed_secrets().empty() ? "" : "(sealed)",
                   after.sealed_secrets().empty() ? "" : "(sealed anew)");
    }
}

std::string FlushText(const v1::FlushRules& flush) {
    if (flush.rows() == 0 && flush.bytes() == 0 && !flush.has_interval()) {
        return "";
    }
    const double seconds = static_cast<double>(flush.interval().seconds()) + flush.interval().nanos() / 1e9;
    return std::to_string(flush.rows()) + " rows, " + std::to_string(flush.bytes()) + " bytes, " +
           std::to_string(seconds) + " s";
}

std::string BackfillText(const v1::BackfillRules& rules) {
    std::string text;
    const auto add = [&text](int64_t value, const char* what) {
        if (value != 0) {
            text += (text.empty() ? "" : ", ") + std::to_string(value) + what;
        }
    };
    add(rules.connections(), " connections");
    add(rules.chunk_rows(), " rows a chunk");
    add(rules.rows_per_second(), " rows/s");
    add(rules.bytes_per_second(), " bytes/s");
    return text;
}

std::string KeysText(const google::protobuf::Map<std::string, std::string>& keys) {
    std::string text;
    for (const auto& [table, index] : std::map<std::string, std::string>(keys.begin(), keys.end())) {
        text += (text.empty() ? "" : ", ") + table + "=" + index;
    }
    return text;
}

std::string StateText(v1::PipelineSpec::DesiredState state) {
    switch (state) {
        case v1::PipelineSpec::DESIRED_STATE_RUNNING:
            return "running";
        case v1::PipelineSpec::DESIRED_STATE_PAUSED:
            return "paused";
        case v1::PipelineSpec::DESIRED_STATE_DELETED:
            return "deleted";
        default:
            return "";
    }
}

std::string RefusedText(v1::PipelineSpec::RefusedValues refused) {
    switch (refused) {
        case v1::PipelineSpec::REFUSED_VALUES_HOLD:
            return "hold";
        case v1::PipelineSpec::REFUSED_VALUES_TEXT:
            return "text";
        default:
            return "dead-letter";
    }
}

v1::PipelineSpec::RefusedValues RefusedOf(const std::string& text) {
    return text == "hold"   ? v1::PipelineSpec::REFUSED_VALUES_HOLD
           : text == "text" ? v1::PipelineSpec::REFUSED_VALUES_TEXT
                            : v1::PipelineSpec::REFUSED_VALUES_DEAD_LETTER;
}

std::string DroppedText(v1::PipelineSpec::DroppedColumns dropped) {
    return dropped == v1::PipelineSpec::DROPPED_COLUMNS_DROP ? "drop" : "keep";
}

std::string CodecText(v1::PipelineSpec::Codec codec) {
    return codec == v1::PipelineSpec::CODEC_DEBEZIUM_JSON ? "debezium-json" : "native";
}

std::string ColumnsText(const google::protobuf::RepeatedPtrField<v1::ColumnRule>& rules) {
    std::string out;
    for (const v1::ColumnRule& rule : rules) {
        out += (out.empty() ? "" : "; ") + rule.table();
        for (const auto& [verb, names] :
             {std::pair("include", &rule.include()), std::pair("exclude", &rule.exclude()),
              std::pair("hash", &rule.hash())}) {
            if (!names->empty()) {
                out += std::string(" ") + verb + " " + Join(*names);
            }
        }
    }
    return out;
}

void DiffPipeline(const v1::PipelineSpec& before, const v1::PipelineSpec& after, Diff& diff) {
    diff.Field("source", before.source(), after.source());
    diff.Field("destination", before.destination(), after.destination());
    diff.Field("tables", Join(before.tables()), Join(after.tables()));
    diff.Field("exclude", Join(before.exclude()), Join(after.exclude()));
    diff.Field("keys", KeysText(before.keys()), KeysText(after.keys()));
    diff.Field("columns", ColumnsText(before.columns()), ColumnsText(after.columns()));
    diff.Field("flush", FlushText(before.flush()), FlushText(after.flush()));
    diff.Field("backfill", BackfillText(before.backfill()), BackfillText(after.backfill()));
    diff.Field("refused_values", RefusedText(before.refused_values()), RefusedText(after.refused_values()));
    diff.Field("dropped_columns", DroppedText(before.dropped_columns()),
               DroppedText(after.dropped_columns()));
    diff.Field("codec", CodecText(before.codec()), CodecText(after.codec()));
    diff.Field("state", StateText(before.desired_state()), StateText(after.desired_state()));
}

v1::PipelineSpec DeclaredSpec(const Scope& scope, const PipelineFile& declared) {
    v1::PipelineSpec spec;
    spec.set_source(scope.ConnectorName(declared.name + "-source"));
    spec.set_destination(scope.ConnectorName(declared.name + "-destination"));
    spec.mutable_tables()->Assign(declared.tables.begin(), declared.tables.end());
    spec.mutable_exclude()->Assign(declared.exclude.begin(), declared.exclude.end());
    spec.mutable_keys()->insert(declared.keys.begin(), declared.keys.end());
    for (const ColumnRuleInput& rule : declared.columns) {
        v1::ColumnRule& wanted = *spec.add_columns();
        wanted.set_table(rule.table);
        wanted.mutable_include()->Assign(rule.include.begin(), rule.include.end());
        wanted.mutable_exclude()->Assign(rule.exclude.begin(), rule.exclude.end());
        wanted.mutable_hash()->Assign(rule.hash.begin(), rule.hash.end());
    }
    spec.mutable_flush()->set_rows(declared.flush_rows);
    spec.mutable_flush()->set_bytes(declared.flush_bytes);
    if (declared.flush_seconds > 0) {
        const auto whole = static_cast<int64_t>(declared.flush_seconds);
        spec.mutable_flush()->mutable_interval()->set_seconds(whole);
        spec.mutable_flush()->mutable_interval()->set_nanos(
            static_cast<int32_t>((declared.flush_seconds - static_cast<double>(whole)) * 1e9));
    }
    spec.mutable_backfill()->set_connections(static_cast<int32_t>(declared.backfill_connections));
    spec.mutable_backfill()->set_chunk_rows(declared.backfill_chunk_rows);
    spec.mutable_backfill()->set_rows_per_second(declared.backfill_rows_per_second);
    spec.mutable_backfill()->set_bytes_per_second(declared.backfill_bytes_per_second);
    spec.set_refused_values(RefusedOf(declared.refused_values));
    spec.set_dropped_columns(declared.dropped_columns == "drop" ? v1::PipelineSpec::DROPPED_COLUMNS_DROP
                                                                : v1::PipelineSpec::DROPPED_COLUMNS_KEEP);
    spec.set_codec(CodecOf(declared.codec));
    spec.set_desired_state(declared.paused ? v1::PipelineSpec::DESIRED_STATE_PAUSED
                                           : v1::PipelineSpec::DESIRED_STATE_RUNNING);
    return spec;
}

/// A sealed text differs at every sealing, so an unchanged connector keeps the one it has.
absl::StatusOr<v1::ConnectorSpec> DesiredConnector(const ConnectorInput& input, const v1::DataPlane& plane,
                                                   const absl::StatusOr<v1::Connector>& stored,
                                                   bool update_secrets) {
    ASSIGN_OR_RETURN(v1::ConnectorSpec spec, BuildConnectorSpec(input, plane));
    if (!stored.ok() || update_secrets || stored->spec().sealed_to() != spec.sealed_to()) {
        return spec;
    }
    v1::ConnectorSpec same = stored->spec();
    same.set_sealed_secrets(spec.sealed_secrets());
    if (google::protobuf::util::MessageDifferencer::Equals(same, spec)) {
        spec.set_sealed_secrets(stored->spec().sealed_secrets());
    }
    return spec;
}

absl::Status StoreConnector(Client& client, const Scope& scope, const std::string& id,
                            const std::string& pipeline, const absl::StatusOr<v1::Connector>& stored,
                            const v1::ConnectorSpec& spec) {
    if (!stored.ok()) {
        v1::CreateConnectorRequest request;
        request.set_parent(scope.TenantName());
        request.set_connector_id(id);
        *request.mutable_connector()->mutable_spec() = spec;
        (*request.mutable_connector()->mutable_metadata()->mutable_labels())["pipeline"] = pipeline;
        return client.CreateConnector(request).status();
    }
    v1::UpdateConnectorRequest request;
    *request.mutable_connector() = *stored;
    *request.mutable_connector()->mutable_spec() = spec;
    request.mutable_update_mask()->add_paths("spec");
    return client.UpdateConnector(request).status();
}

absl::Status StorePipeline(Client& client, const Scope& scope, const PipelineFile& declared,
                           const absl::StatusOr<v1::Pipeline>& stored, const v1::PipelineSpec& spec) {
    const std::string name = scope.PipelineName(declared.name);
    const bool deployed =
        stored.ok() && stored->spec().desired_state() != v1::PipelineSpec::DESIRED_STATE_DRAFT;
    v1::PipelineSpec wanted = spec;
    if (!deployed) {
        wanted.set_desired_state(v1::PipelineSpec::DESIRED_STATE_DRAFT);
    }
    if (!stored.ok()) {
        v1::CreatePipelineRequest request;
        request.set_parent(scope.TenantName());
        request.set_pipeline_id(declared.name);
        *request.mutable_pipeline()->mutable_spec() = wanted;
        RETURN_IF_ERROR(client.CreatePipeline(request).status());
    } else {
        v1::UpdatePipelineRequest request;
        *request.mutable_pipeline()->mutable_metadata() = stored->metadata();
        *request.mutable_pipeline()->mutable_spec() = wanted;
        request.mutable_update_mask()->add_paths("spec");
        RETURN_IF_ERROR(client.UpdatePipeline(request).status());
    }
    if (deployed) {
        return absl::OkStatus();
    }
    std::vector<v1::Finding> findings;
    const absl::Status status = client.DeployPipeline(name, false, findings).status();
    std::fputs(RenderFindings(findings, false).c_str(), stderr);
    RETURN_IF_ERROR(status);
    return declared.paused ? client.PausePipeline(name).status() : absl::OkStatus();
}

}  // namespace

absl::Status Apply(Client& client, const Scope& scope, const ApplyArguments& arguments) {
    ASSIGN_OR_RETURN(const std::string text, base::ReadFile(arguments.file));
    ASSIGN_OR_RETURN(const PipelineFile declared, ParsePipelineFile(arguments.file, text));
    ASSIGN_OR_RETURN(const v1::DataPlane plane, PlaneForSealing(client, scope));
    const std::string source_id = declared.name + "-source";
    const std::string destination_id = declared.name + "-destination";
    const auto stored_source = client.GetConnector(scope.ConnectorName(source_id));
    const auto stored_destination = client.GetConnector(scope.ConnectorName(destination_id));
    const auto stored = client.GetPipeline(scope.PipelineName(declared.name));
    for (const absl::Status& status :
         {stored_source.status(), stored_destination.status(), stored.status()}) {
        if (!status.ok() && !absl::IsNotFound(status)) {
            return status;
        }
    }
    ASSIGN_OR_RETURN(const v1::ConnectorSpec source,
                     DesiredConnector(declared.source, plane, stored_source, arguments.update_secrets));
    ASSIGN_OR_RETURN(
        const v1::ConnectorSpec destination,
        DesiredConnector(declared.destination, plane, stored_destination, arguments.update_secrets));
    const v1::PipelineSpec spec = DeclaredSpec(scope, declared);

    Diff diff_source;
    Diff diff_destination;
    Diff diff_pipeline;
    DiffConnector("source", stored_source.ok() ? stored_source->spec() : v1::ConnectorSpec(), source,
                  diff_source);
    DiffConnector("destination", stored_destination.ok() ? stored_destination->spec() : v1::ConnectorSpec(),
                  destination, diff_destination);
    DiffPipeline(stored.ok() ? stored->spec() : v1::PipelineSpec(), spec, diff_pipeline);
    if (diff_source.empty() && diff_destination.empty() && diff_pipeline.empty()) {
        std::printf("Pipeline '%s': no changes.\n", declared.name.c_str());
        return absl::OkStatus();
    }
    std::printf("Pipeline '%s'%s\n%s%s%s", declared.name.c_str(), stored.ok() ? "" : " (new)",
                diff_pipeline.Text().c_str(), diff_source.Text().c_str(), diff_destination.Text().c_str());
    if (arguments.dry_run) {
        return absl::OkStatus();
    }
    if (!diff_source.empty()) {
        RETURN_IF_ERROR(StoreConnector(client, scope, source_id, declared.name, stored_source, source));
    }
    if (!diff_destination.empty()) {
        RETURN_IF_ERROR(
            StoreConnector(client, scope, destination_id, declared.name, stored_destination, destination));
    }
    if (!diff_pipeline.empty()) {
        RETURN_IF_ERROR(StorePipeline(client, scope, declared, stored, spec));
    }
    std::printf("Applied.\n");
    return absl::OkStatus();
}

}  // namespace millrace::cli
