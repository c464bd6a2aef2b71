/// The one translation from the control plane's configuration to the data plane's typed one: secrets are
/// unsealed in memory, options are checked, and each pipeline is accepted or refused on its own. Not for:
/// running pipelines (runtime/supervisor), connecting to anything.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/seal.h"
#include "connectors/sdk/connector.h"
#include "data-plane/config/pipeline_config.h"

namespace millrace::v1 {
class ConfigSnapshot;
class ConnectorSpec;
class PipelineConfig;
}  // namespace millrace::v1

namespace millrace::agent {

enum class ConnectorUse { kSource, kDestination };

/// A pipeline that was refused, and why.
struct Refusal final {
    /// "tenants/{t}/pipelines/{p}".
    std::string resource;
    absl::Status status;
};

struct Assignment final {
    std::vector<config::PipelineConfig> pipelines;
    std::vector<Refusal> refused;
};

/// Thread-safe after construction; `registry` outlives it.
class Translator final {
 public:
    /// `keys`: what secrets are sealed to. `fingerprint` of its public key, for messages.
    Translator(const sdk::ConnectorRegistry& registry, base::KeyPair keys, std::string fingerprint);

    /// NotFound: no such connector type. InvalidArgument (OPTION_*, CONNECTOR_NOT_SOURCE,
    /// CONNECTOR_NOT_DESTINATION): the caller refuses the resource. Unauthenticated (SEAL_BROKEN,
    /// SEALED_TO_OTHER_KEY): secrets must be sealed anew.
    [[nodiscard]] absl::StatusOr<config::ConnectorConfig> Connector(const v1::ConnectorSpec& spec,
                                                                    ConnectorUse use) const;

    /// As Connector(), for both ends, and InvalidArgument (PIPELINE_INVALID) for the pipeline's own fields. A
    /// draft is accepted: it can be checked before it runs.
    [[nodiscard]] absl::StatusOr<config::PipelineConfig> Pipeline(const v1::PipelineConfig& proto) const;

    /// Every pipeline of the snapshot, accepted or refused (drafts and those without uid are refused).
    [[nodiscard]] Assignment Snapshot(const v1::ConfigSnapshot& snapshot) const;

 private:
    [[nodiscard]] absl::Status OpenSecrets(const v1::ConnectorSpec& spec, sdk::Options& options) const;

    const sdk::ConnectorRegistry& registry_;
    base::KeyPair keys_;
    std::string fingerprint_;
};

}  // namespace millrace::agent
