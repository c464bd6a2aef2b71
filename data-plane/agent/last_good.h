/// The configuration that this worker applied last, kept on disk so that it runs after a restart without a
/// control plane. Not for: secrets in clear (sealed ones stay sealed), state of the replication itself.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/status.h"

namespace millrace::v1 {
class ConfigSnapshot;
}  // namespace millrace::v1

namespace millrace::agent {

/// Used by one thread.
class LastGood final {
 public:
    /// `data_plane`: "tenants/{t}/dataPlanes/{d}"; a file written for another one is not used.
    LastGood(std::filesystem::path path, std::string data_plane);

    /// Replaces the file atomically, mode 0600. To be called only after `snapshot` was applied. Any error:
    /// the worker runs on; it is logged and the next snapshot tries again.
    [[nodiscard]] absl::Status Save(const v1::ConfigSnapshot& snapshot) const;

    /// NotFound: there is none. DataLoss (LAST_GOOD_BROKEN): the bytes are damaged. FailedPrecondition
    /// (LAST_GOOD_FOREIGN): it belongs to another data plane. The worker then waits for the control plane.
    absl::Status Load(v1::ConfigSnapshot* snapshot) const;

 private:
    std::filesystem::path path_;
    std::string data_plane_;
};

}  // namespace millrace::agent
