#include "control-plane/store/resources.h"

#include <google/protobuf/util/time_util.h>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "control-plane/store/uuid.h"

namespace millrace::store {

std::string EtagOf(int64_t revision) {
    return absl::StrCat(revision);
}

namespace internal {

absl::Status Decode(const Record& record, google::protobuf::Message& message) {
    if (!message.ParseFromString(record.bytes)) {
        return base::MakeError(absl::StatusCode::kDataLoss, "STORE_DAMAGED",
                               absl::StrCat("The stored record of ", record.name, " cannot be read."),
                               "Restore the store from a backup.");
    }
    return absl::OkStatus();
}

std::string Encode(const google::protobuf::Message& message) {
    return message.SerializeAsString();
}

}  // namespace internal

namespace {

constexpr int64_t kEventsKept = 10'000;

template <typename Message>
absl::Status EnsureOne(Transaction& transaction, const std::string& name) {
    const auto found = transaction.Get(kKindOf<Message>, name);
    if (!absl::IsNotFound(found.status())) {
        return found.status();
    }
    Message message;
    message.mutable_metadata()->set_name(name);
    message.mutable_metadata()->set_uid(NewUuid());
    message.mutable_metadata()->set_generation(1);
    *message.mutable_metadata()->mutable_create_time() = google::protobuf::util::TimeUtil::GetCurrentTime();
    *message.mutable_metadata()->mutable_update_time() = message.metadata().create_time();
    message.set_display_name(name.substr(name.rfind('/') + 1));
    return Save(transaction, message, Expected::Absent());
}

}  // namespace

absl::Status AppendEvent(Transaction& transaction, const std::string& pipeline, const v1::PipelineEvent& event) {
    return transaction.AppendLog(pipeline, event.id(), event.SerializeAsString(), kEventsKept);
}

absl::StatusOr<std::vector<v1::PipelineEvent>> ReadEvents(const Reader& reader, const std::string& pipeline,
                                                          int64_t after, size_t limit) {
    ASSIGN_OR_RETURN(const std::vector<LogEntry> entries, reader.ReadLog(pipeline, after, limit));
    std::vector<v1::PipelineEvent> events;
    for (const LogEntry& entry : entries) {
        RETURN_IF_ERROR(internal::Decode({pipeline, entry.bytes, 0}, events.emplace_back()));
        events.back().set_sequence(entry.sequence);
    }
    return events;
}

absl::Status EnsurePlane(Store& store, const std::string& tenant, const std::string& data_plane) {
    return store.Update([&](Transaction& transaction) -> absl::Status {
        RETURN_IF_ERROR(EnsureOne<v1::Tenant>(transaction, tenant));
        return EnsureOne<v1::DataPlane>(transaction, data_plane);
    });
}

}  // namespace millrace::store
