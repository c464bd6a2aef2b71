#include "control-plane/domain/update_mask.h"

#include <google/protobuf/util/field_mask_util.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace millrace::domain {
namespace {

using google::protobuf::FieldMask;
using google::protobuf::util::FieldMaskUtil;

absl::Status Invalid(const char* reason, const std::string& message, const std::string& remedy) {
    return base::MakeError(absl::StatusCode::kInvalidArgument, reason, message, remedy);
}

/// Fields of a pipeline's spec that verbs write and updates leave as they are.
constexpr const char* kVerbsFields[] = {"table_overrides", "resync_counter"};

bool IsOfVerbs(const std::string& field) {
    return std::find(std::begin(kVerbsFields), std::end(kVerbsFields), field) != std::end(kVerbsFields);
}

/// Top-level and spec fields that users write, one path each.
FieldMask WritablePaths(const google::protobuf::Descriptor& spec) {
    FieldMask paths;
    paths.add_paths("metadata.labels");
    for (int i = 0; i < spec.field_count(); ++i) {
        if (IsOfVerbs(spec.field(i)->name())) {
            continue;
        }
        paths.add_paths(absl::StrCat("spec.", spec.field(i)->name()));
    }
    return paths;
}

/// Those of the writable paths that are set in `update`.
template <typename Resource>
FieldMask SetPaths(const Resource& update) {
    FieldMask set;
    if (!update.metadata().labels().empty()) {
        set.add_paths("metadata.labels");
    }
    std::vector<const google::protobuf::FieldDescriptor*> fields;
    update.spec().GetReflection()->ListFields(update.spec(), &fields);
    for (const auto* field : fields) {
        if (IsOfVerbs(field->name())) {
            continue;
        }
        set.add_paths(absl::StrCat("spec.", field->name()));
    }
    return set;
}

template <typename Resource>
absl::StatusOr<FieldMask> Resolve(const Resource& update, const FieldMask& mask) {
    const auto& spec = *Resource::descriptor()->FindFieldByName("spec")->message_type();
    const FieldMask writable = WritablePaths(spec);
    if (mask.paths().empty()) {
        return SetPaths(update);
    }
    FieldMask resolved;
    for (const std::string& path : mask.paths()) {
        if (path == "*" || path == "spec") {
            FieldMaskUtil::Union(resolved, writable, &resolved);
            if (path == "spec") {
                FieldMask labels;
                labels.add_paths("metadata.labels");
                FieldMaskUtil::Subtract<Resource>(resolved, labels, &resolved);
            }
            continue;
        }
        if (!FieldMaskUtil::IsValidPath<Resource>(path)) {
            return Invalid("MASK_PATH_UNKNOWN",
                           absl::StrCat("update_mask names \"", path.substr(0, 100),
                                        "\", which is no field that can be updated alone."),
                           absl::StrCat("Use one of: *, spec, ", FieldMaskUtil::ToString(writable), "."));
        }
        if (path.starts_with("spec.") && IsOfVerbs(path.substr(5, path.find('.', 5) - 5))) {
            return Invalid("FIELD_READ_ONLY", absl::StrCat("Field \"", path, "\" is written by the verbs alone."),
                           "Pause, resume, resync or skip the table, or resync the pipeline.");
        }
        if (!path.starts_with("spec.") && path != "metadata.labels") {
            return Invalid("FIELD_READ_ONLY",
                           absl::StrCat("Field \"", path, "\" is written by the server alone."),
                           "Leave it out of update_mask.");
        }
        resolved.add_paths(path);
    }
    return resolved;
}

template <typename Resource>
absl::Status Apply(const Resource& update, const FieldMask& mask, Resource& stored) {
    ASSIGN_OR_RETURN(const FieldMask resolved, Resolve(update, mask));
    FieldMaskUtil::MergeOptions options;
    options.set_replace_message_fields(true);
    options.set_replace_repeated_fields(true);
    FieldMaskUtil::MergeMessageTo(update, resolved, options, &stored);
    return absl::OkStatus();
}

bool RunsOrRests(v1::PipelineSpec::DesiredState state) {
    return state == v1::PipelineSpec::DESIRED_STATE_RUNNING ||
           state == v1::PipelineSpec::DESIRED_STATE_PAUSED;
}

}  // namespace

absl::Status ApplyUpdate(const v1::Connector& update, const FieldMask& mask, v1::Connector& stored) {
    const v1::ConnectorSpec before = stored.spec();
    RETURN_IF_ERROR(Apply(update, mask, stored));
    if (stored.spec().type() != before.type() || stored.spec().data_plane() != before.data_plane()) {
        return Invalid(
            "FIELD_IMMUTABLE",
            absl::StrCat("Type and data plane of ", stored.metadata().name(), " cannot be changed."),
            "Create another connector.");
    }
    return absl::OkStatus();
}

absl::Status ApplyUpdate(const v1::Pipeline& update, const FieldMask& mask, v1::Pipeline& stored) {
    const v1::PipelineSpec before = stored.spec();
    RETURN_IF_ERROR(Apply(update, mask, stored));
    const v1::PipelineSpec::DesiredState after = stored.spec().desired_state();
    if (after == v1::PipelineSpec::DESIRED_STATE_UNSPECIFIED) {
        stored.mutable_spec()->set_desired_state(before.desired_state());
    } else if (after != before.desired_state() &&
               !(RunsOrRests(before.desired_state()) && RunsOrRests(after))) {
        return Invalid("FIELD_READ_ONLY",
                       "spec.desired_state can only be changed from running to paused and back.",
                       "Use deploy or delete.");
    }
    const bool moved =
        stored.spec().source() != before.source() || stored.spec().destination() != before.destination();
    if (moved && before.desired_state() != v1::PipelineSpec::DESIRED_STATE_DRAFT) {
        return Invalid("FIELD_IMMUTABLE",
                       absl::StrCat("Source and destination of ", stored.metadata().name(),
                                    " cannot be changed after it was deployed."),
                       "Create another pipeline.");
    }
    return absl::OkStatus();
}

}  // namespace millrace::domain
