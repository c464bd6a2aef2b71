// What the hub writes to the store on behalf of workers.
#include <google/protobuf/util/message_differencer.h>
#include <google/protobuf/util/time_util.h>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "control-plane/session/hub.h"
#include "control-plane/store/resources.h"

namespace millrace::session {
namespace {

constexpr int kMaxEventsAtOnce = 1000;
constexpr size_t kMaxEventBytes = 64 * 1024;

}  // namespace

absl::Status Hub::RememberPlane(const v1::Hello& hello, const std::string& fingerprint) {
    v1::DataPlane plane;
    const absl::Status found = store_.View([&](const store::Reader& reader) -> absl::Status {
        ASSIGN_OR_RETURN(plane, store::Load<v1::DataPlane>(reader, hello.data_plane()));
        return absl::OkStatus();
    });
    if (absl::IsNotFound(found)) {
        return base::MakeError(
            absl::StatusCode::kNotFound, "PLANE_UNKNOWN",
            absl::StrCat("There is no data plane ", hello.data_plane(), "."),
            "Start the worker with the name of a data plane that the control plane knows.");
    }
    RETURN_IF_ERROR(found);
    v1::DataPlaneStatus status;
    status.set_public_key_pem(hello.public_key_pem());
    status.set_key_fingerprint(fingerprint);
    *status.mutable_descriptors() = hello.descriptors();
    if (google::protobuf::util::MessageDifferencer::Equals(status, plane.status())) {
        return absl::OkStatus();
    }
    if (!plane.status().key_fingerprint().empty() && plane.status().key_fingerprint() != fingerprint) {
        base::LogWarning("a data plane has another key now; secrets must be sealed anew",
                         {{"plane", hello.data_plane()}, {"key", fingerprint}});
    }
    const absl::Status written = store_.Update([&](store::Transaction& transaction) -> absl::Status {
        ASSIGN_OR_RETURN(v1::DataPlane current, store::Load<v1::DataPlane>(transaction, hello.data_plane()));
        *current.mutable_status() = status;
        *current.mutable_metadata()->mutable_update_time() =
            google::protobuf::util::TimeUtil::GetCurrentTime();
        return store::Save(transaction, current, store::Expected::Any());
    });
    // To a worker Aborted would mean that another one has taken its place.
    return absl::IsAborted(written) ? absl::UnavailableError(written.message()) : written;
}

absl::Status Hub::CheckEpoch(const v1::Hello& hello) {
    ASSIGN_OR_RETURN(const std::string epoch, store_.Epoch());
    if (hello.applied_epoch() != epoch) {
        return absl::OkStatus();
    }
    int64_t generation = 0;
    const absl::Status read = store_.View([&](const store::Reader& reader) -> absl::Status {
        ASSIGN_OR_RETURN(generation, reader.PlaneGeneration(hello.data_plane()));
        return absl::OkStatus();
    });
    RETURN_IF_ERROR(read);
    if (hello.applied_generation() <= generation) {
        return absl::OkStatus();
    }
    base::LogWarning(
        "a worker runs a later configuration than the store holds: the store was restored from a copy",
        {{"worker", hello.worker_id()}, {"applied", hello.applied_generation()}, {"stored", generation}});
    return store_.RenewEpoch();
}

void Hub::KeepEvents(const std::vector<v1::PipelineFacts>& told) {
    for (const v1::PipelineFacts& facts : told) {
        const absl::Status kept = store_.Update([&](store::Transaction& transaction) -> absl::Status {
            RETURN_IF_ERROR(store::Load<v1::Pipeline>(transaction, facts.name()).status());
            int taken = 0;
            for (const v1::PipelineEvent& event : facts.events()) {
                if (++taken <= kMaxEventsAtOnce && event.ByteSizeLong() <= kMaxEventBytes && !event.id().empty()) {
                    RETURN_IF_ERROR(store::AppendEvent(transaction, facts.name(), event));
                }
            }
            return absl::OkStatus();
        });
        if (!kept.ok() && !absl::IsNotFound(kept)) {
            base::LogError("events of a pipeline cannot be kept",
                           {{"pipeline", facts.name()}, base::LogField(kept)});
        }
    }
}

void Hub::FinishRemovals(const std::string& plane, const std::map<std::string, int64_t>& removals) {
    for (const auto& [name, generation] : removals) {
        const std::string& pipeline_name = name;
        const int64_t acknowledged = generation;
        const absl::Status status = store_.Update([&](store::Transaction& transaction) -> absl::Status {
            ASSIGN_OR_RETURN(const auto pipeline, store::Load<v1::Pipeline>(transaction, pipeline_name));
            if (pipeline.spec().desired_state() != v1::PipelineSpec::DESIRED_STATE_DELETED ||
                pipeline.metadata().generation() != acknowledged) {
                return absl::OkStatus();
            }
            RETURN_IF_ERROR(
                transaction.Delete(store::kKindOf<v1::Pipeline>, pipeline_name, store::Expected::Any()));
            RETURN_IF_ERROR(transaction.DeleteLog(pipeline_name));
            return transaction.AdvancePlane(plane).status();
        });
        if (status.ok()) {
            base::LogInfo("a pipeline is removed", {{"pipeline", name}});
        } else if (!absl::IsNotFound(status)) {
            base::LogError("a removed pipeline cannot be forgotten",
                           {{"pipeline", name}, base::LogField(status)});
        }
    }
}

}  // namespace millrace::session
