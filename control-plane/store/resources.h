/// Resources as typed messages over the store: encoding, etags, and which kinds there are. Not for: rules
/// about what a resource may hold (domain).
#pragma once

#include <string>
#include <type_traits>
#include <vector>

#include "absl/status/statusor.h"
#include "base/status.h"
#include "control-plane/store/store.h"
#include "millrace/v1/resources.pb.h"

namespace millrace::store {

/// Kind of the records of a message type.
template <typename Message>
inline constexpr const char* kKindOf = nullptr;
template <>
inline constexpr const char* kKindOf<v1::Tenant> = "tenant";
template <>
inline constexpr const char* kKindOf<v1::DataPlane> = "data_plane";
template <>
inline constexpr const char* kKindOf<v1::Connector> = "connector";
template <>
inline constexpr const char* kKindOf<v1::Pipeline> = "pipeline";

/// The etag of a revision.
std::string EtagOf(int64_t revision);

namespace internal {
absl::Status Decode(const Record& record, google::protobuf::Message& message);
std::string Encode(const google::protobuf::Message& message);
}  // namespace internal

template <typename Message>
absl::StatusOr<Message> Decode(const Record& record) {
    Message message;
    RETURN_IF_ERROR(internal::Decode(record, message));
    message.mutable_metadata()->set_etag(EtagOf(record.revision));
    return message;
}

/// The message with its etag. NotFound (reason NOT_STORED); DataLoss when the record does not decode.
template <typename Message>
absl::StatusOr<Message> Load(const Reader& reader, const std::string& name) {
    ASSIGN_OR_RETURN(const Record record, reader.Get(kKindOf<Message>, name));
    return Decode<Message>(record);
}

/// All of a kind below `parent`; for kinds whose number is bounded by what people make.
template <typename Message>
absl::StatusOr<std::vector<Message>> LoadAll(const Reader& reader, const std::string& parent) {
    std::vector<Message> all;
    std::string after;
    while (true) {
        ASSIGN_OR_RETURN(const Page page, reader.List(kKindOf<Message>, parent, after, 500));
        for (const Record& record : page.records) {
            ASSIGN_OR_RETURN(all.emplace_back(), Decode<Message>(record));
            after = record.name;
        }
        if (!page.more) {
            return all;
        }
    }
}

/// Writes it, without a pipeline's status, which is never stored, and sets its etag. Errors of
/// Transaction::Put.
template <typename Message>
absl::Status Save(Transaction& transaction, Message& message, Expected expected) {
    message.mutable_metadata()->clear_etag();
    if constexpr (std::is_same_v<Message, v1::Pipeline>) {
        message.clear_status();
    }
    ASSIGN_OR_RETURN(const int64_t revision, transaction.Put(kKindOf<Message>, message.metadata().name(),
                                                             internal::Encode(message), expected));
    message.mutable_metadata()->set_etag(EtagOf(revision));
    return absl::OkStatus();
}

/// Appends to the pipeline's log, which keeps the last 10,000 events. One whose id stands there already changes
/// nothing.
absl::Status AppendEvent(Transaction& transaction, const std::string& pipeline, const v1::PipelineEvent& event);
/// At most `limit` events after `sequence`, oldest first; for a negative one the newest `limit`.
absl::StatusOr<std::vector<v1::PipelineEvent>> ReadEvents(const Reader& reader, const std::string& pipeline,
                                                          int64_t after, size_t limit);

/// Makes the tenant and the data plane when they are absent ("tenants/t", "tenants/t/dataPlanes/d").
absl::Status EnsurePlane(Store& store, const std::string& tenant, const std::string& data_plane);

}  // namespace millrace::store
