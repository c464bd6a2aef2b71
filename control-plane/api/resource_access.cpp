#include "control-plane/api/resource_access.h"

#include <google/protobuf/util/time_util.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "control-plane/store/uuid.h"

namespace millrace::api {

absl::Status Named(const absl::Status& status, const std::string& what, const std::string& name) {
    if (!absl::IsNotFound(status)) {
        return status;
    }
    const std::string words = absl::StrReplaceAll(what, {{"_", " "}});
    return base::MakeError(absl::StatusCode::kNotFound, absl::StrCat(absl::AsciiStrToUpper(what), "_UNKNOWN"),
                           absl::StrCat("There is no ", words, " ", name, "."),
                           absl::StrCat("Check the name; a list shows every ", words, " that exists."));
}

absl::Status CheckEtag(const v1::Metadata& stored, const std::string& etag) {
    if (etag.empty() || etag == stored.etag()) {
        return absl::OkStatus();
    }
    return base::MakeError(absl::StatusCode::kAborted, "ETAG_MISMATCH",
                           absl::StrCat(stored.name(), " was changed since you read it."),
                           "Read it again and repeat the change.");
}

absl::Status CheckLabels(const v1::Metadata& metadata) {
    bool sound = metadata.labels().size() <= 64;
    for (const auto& [key, value] : metadata.labels()) {
        sound = sound && !key.empty() && key.size() <= 63 && value.size() <= 255;
    }
    return sound ? absl::OkStatus()
                 : base::MakeError(absl::StatusCode::kInvalidArgument, "LABELS_INVALID",
                                   "The labels are too many or too long.",
                                   "Use at most 64 labels, keys of 1 to 63 and values of up to 255 bytes.");
}

absl::StatusOr<v1::Metadata> NewMetadata(const std::string& name, const v1::Metadata& given) {
    RETURN_IF_ERROR(CheckLabels(given));
    v1::Metadata metadata;
    metadata.set_name(name);
    metadata.set_uid(store::NewUuid());
    metadata.set_generation(1);
    *metadata.mutable_create_time() = google::protobuf::util::TimeUtil::GetCurrentTime();
    *metadata.mutable_update_time() = metadata.create_time();
    *metadata.mutable_labels() = given.labels();
    return metadata;
}

void Touch(v1::Metadata& metadata, bool spec_changed) {
    *metadata.mutable_update_time() = google::protobuf::util::TimeUtil::GetCurrentTime();
    if (spec_changed) {
        metadata.set_generation(metadata.generation() + 1);
    }
}

absl::Status Write(store::Store& store, bool validate_only,
                   const std::function<absl::Status(store::Transaction&)>& body) {
    bool valid = false;
    const absl::Status status = store.Update([&](store::Transaction& transaction) -> absl::Status {
        valid = false;
        RETURN_IF_ERROR(body(transaction));
        valid = validate_only;
        return validate_only ? absl::CancelledError("validated only") : absl::OkStatus();
    });
    return valid ? absl::OkStatus() : status;
}

}  // namespace millrace::api
