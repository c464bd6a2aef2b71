#include "control-plane/session/snapshot.h"

#include "base/status.h"
#include "control-plane/domain/pipeline_spec.h"
#include "control-plane/store/resources.h"

namespace millrace::session {

absl::StatusOr<v1::ConfigSnapshot> BuildSnapshot(const store::Store& store, const std::string& plane) {
    v1::ConfigSnapshot snapshot;
    ASSIGN_OR_RETURN(const std::string epoch, store.Epoch());
    snapshot.set_epoch(epoch);
    const std::string tenant = plane.substr(0, plane.find("/dataPlanes/"));
    const absl::Status status = store.View([&](const store::Reader& reader) -> absl::Status {
        ASSIGN_OR_RETURN(const int64_t generation, reader.PlaneGeneration(plane));
        snapshot.set_generation(generation);
        std::map<std::string, v1::Connector> connectors;
        ASSIGN_OR_RETURN(auto stored_connectors, store::LoadAll<v1::Connector>(reader, tenant));
        for (v1::Connector& connector : stored_connectors) {
            connectors.emplace(connector.metadata().name(), std::move(connector));
        }
        ASSIGN_OR_RETURN(const auto pipelines, store::LoadAll<v1::Pipeline>(reader, tenant));
        for (const v1::Pipeline& pipeline : pipelines) {
            const auto source = connectors.find(pipeline.spec().source());
            const auto destination = connectors.find(pipeline.spec().destination());
            if (!domain::IsDeployed(pipeline) || source == connectors.end() ||
                destination == connectors.end() || source->second.spec().data_plane() != plane) {
                continue;
            }
            *snapshot.add_pipelines() =
                domain::MakePipelineConfig(pipeline, source->second, destination->second);
        }
        return absl::OkStatus();
    });
    RETURN_IF_ERROR(status);
    return snapshot;
}

}  // namespace millrace::session
