/// What all resource handlers share: loading by name, etags, new metadata, pages, dry runs. Not for: rules of
/// one kind.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/status.h"
#include "control-plane/api/paging.h"
#include "control-plane/domain/resource_name.h"
#include "control-plane/store/resources.h"

namespace millrace::api {

/// Puts the reason and remedy of the kind on a NotFound of the store ("pipeline" → PIPELINE_UNKNOWN).
absl::Status Named(const absl::Status& status, const std::string& what, const std::string& name);

/// NotFound (TENANT_UNKNOWN, DATA_PLANE_UNKNOWN, CONNECTOR_UNKNOWN, PIPELINE_UNKNOWN) with a remedy.
template <typename Message>
absl::StatusOr<Message> LoadNamed(const store::Reader& reader, const std::string& name) {
    auto loaded = store::Load<Message>(reader, name);
    if (!loaded.ok()) {
        return Named(loaded.status(), store::kKindOf<Message>, name);
    }
    return loaded;
}

/// Aborted (ETAG_MISMATCH) when `etag` is set and not that of `stored`.
absl::Status CheckEtag(const v1::Metadata& stored, const std::string& etag);

/// name, uid, generation 1, times now, and the labels given. InvalidArgument (LABELS_INVALID).
absl::StatusOr<v1::Metadata> NewMetadata(const std::string& name, const v1::Metadata& given);
absl::Status CheckLabels(const v1::Metadata& metadata);
/// Sets update_time, and raises generation when the spec changed.
void Touch(v1::Metadata& metadata, bool spec_changed);

/// Runs `body` as a transaction; with `validate_only` it is run to its end and rolled back.
absl::Status Write(store::Store& store, bool validate_only,
                   const std::function<absl::Status(store::Transaction&)>& body);

/// One page of a kind. Errors of ReadPageRequest and of the store.
template <typename Message>
absl::StatusOr<std::vector<Message>> ListPage(const store::Reader& reader, const std::string& parent,
                                              int32_t page_size, const std::string& page_token,
                                              std::string& next_page_token) {
    const std::string kind = store::kKindOf<Message>;
    ASSIGN_OR_RETURN(const PageRequest request, ReadPageRequest(kind, parent, page_size, page_token));
    ASSIGN_OR_RETURN(const store::Page page, reader.List(kind, parent, request.after, request.limit));
    std::vector<Message> messages;
    for (const store::Record& record : page.records) {
        ASSIGN_OR_RETURN(messages.emplace_back(), store::Decode<Message>(record));
    }
    if (page.more) {
        next_page_token = MakePageToken(kind, parent, page.records.back().name);
    }
    return messages;
}

}  // namespace millrace::api
