/// The worker's command line and its environment fallbacks. Not for: configuration of pipelines (it comes by
/// the link).
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/secret.h"
#include "data-plane/config/pipeline_config.h"

namespace millrace {

struct WorkerFlags final {
    std::string control;
    std::string plane = "tenants/default/dataPlanes/default";
    /// Empty: the id stored in the state folder.
    std::string worker_id;
    std::string role = "all";
    config::KafkaConfig kafka;
    std::filesystem::path state_dir = ".millrace/worker";
    base::Secret plane_token;
    /// Empty: `<state_dir>/plane.key`.
    std::filesystem::path key_file;
    std::string tls_ca_pem;
    /// "host:port"; empty: none.
    std::string admin_listen;
    std::string log_level = "info";
    std::string log_format = "auto";
    int apply_threads = 4;
    bool describe_connectors = false;
};

/// nullopt: the process is to end with `*exit_code` (help, version, a mistake; what is to be said was said).
std::optional<WorkerFlags> ParseWorkerFlags(int argc, char** argv, int* exit_code);

}  // namespace millrace
