#include "data-plane/worker_flags.h"

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>
#include <map>
#include <regex>
#include <vector>

#include "base/file.h"
#include "base/status.h"

namespace millrace {
namespace {

struct RawFlags final {
    std::string token_file;
    std::string tls_ca;
    std::vector<std::string> kafka_properties;
};

void Declare(CLI::App& app, WorkerFlags& flags, RawFlags& raw) {
    app.set_version_flag("--version", std::string("millrace-worker ") + MILLRACE_VERSION);
    app.add_option("--control", flags.control, "HOST:PORT of the control plane that configures this worker")
        ->envname("MILLRACE_CONTROL");
    app.add_option("--plane", flags.plane, "data plane that this worker belongs to")
        ->envname("MILLRACE_PLANE")
        ->capture_default_str();
    app.add_option("--worker-id", flags.worker_id,
                   "unique in the plane; default: made once and kept in the state folder")
        ->envname("MILLRACE_WORKER_ID");
    app.add_option("--role", flags.role, "which half of every pipeline to run")
        ->envname("MILLRACE_ROLE")
        ->check(CLI::IsMember({"publisher", "consumer", "all"}))
        ->capture_default_str();
    app.add_option("--kafka", flags.kafka.brokers, "HOST:PORT[,HOST:PORT…] of the Kafka brokers")
        ->envname("MILLRACE_KAFKA");
    app.add_option("--kafka-property", raw.kafka_properties,
                   "further librdkafka property NAME=VALUE, repeatable; VALUE may be env:NAME or file:PATH");
    app.add_option("--kafka-replication-factor", flags.kafka.replication_factor,
                   "replicas of the topics it creates")
        ->envname("MILLRACE_KAFKA_REPLICATION_FACTOR")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--topic-prefix", flags.kafka.topic_prefix, "first part of every topic's and group's name")
        ->envname("MILLRACE_TOPIC_PREFIX")
        ->capture_default_str();
    app.add_option("--state-dir", flags.state_dir, "folder for worker id, key and last-good configuration")
        ->envname("MILLRACE_STATE_DIR")
        ->capture_default_str();
    app.add_option("--plane-token-file", raw.token_file, "file that holds the plane's token")
        ->envname("MILLRACE_PLANE_TOKEN_FILE");
    app.add_option("--key-file", flags.key_file,
                   "the plane's private key (PEM); made when absent; default: plane.key in the state folder")
        ->envname("MILLRACE_KEY_FILE");
    app.add_option("--tls-ca", raw.tls_ca,
                   "certificate authority (PEM) of the control plane; default: no TLS")
        ->envname("MILLRACE_TLS_CA");
    app.add_option("--admin-listen", flags.admin_listen,
                   "HOST:PORT for /healthz, /readyz and /metrics; default: none")
        ->envname("MILLRACE_ADMIN_LISTEN");
    app.add_option("--log-level", flags.log_level, "debug, info, warning or error")
        ->envname("MILLRACE_LOG_LEVEL")
        ->capture_default_str();
    app.add_option("--log-format", flags.log_format, "text, json, or auto: text on a terminal, else json")
        ->envname("MILLRACE_LOG_FORMAT")
        ->capture_default_str();
    app.add_option("--apply-threads", flags.apply_threads,
                   "threads of each pipeline that write to its destination")
        ->envname("MILLRACE_APPLY_THREADS")
        ->check(CLI::Range(1, 256))
        ->capture_default_str();
    app.add_flag("--describe-connectors", flags.describe_connectors,
                 "print every connector and its options as JSON");
}

// Passwords do not belong into argv, which every process of the machine can read.
absl::StatusOr<std::string> Resolve(const std::string& value) {
    if (value.starts_with("env:")) {
        const char* found = std::getenv(value.c_str() + 4);
        if (found == nullptr) {
            return base::MakeError(absl::StatusCode::kInvalidArgument, "FLAG",
                                   "environment variable " + value.substr(4) + " is not set", "Set it.");
        }
        return std::string(found);
    }
    if (value.starts_with("file:")) {
        ASSIGN_OR_RETURN(std::string content, base::ReadFile(value.substr(5)));
        while (content.ends_with('\n')) {
            content.pop_back();
        }
        return content;
    }
    return value;
}

absl::Status Missing(const std::string& flag, const std::string& variable) {
    return base::MakeError(absl::StatusCode::kInvalidArgument, "FLAG", flag + " is missing",
                           "Give " + flag + " or set " + variable + ".");
}

absl::Status Complete(const RawFlags& raw, WorkerFlags& flags) {
    if (flags.control.empty()) {
        return Missing("--control", "MILLRACE_CONTROL");
    }
    if (flags.kafka.brokers.empty()) {
        return Missing("--kafka", "MILLRACE_KAFKA");
    }
    if (raw.token_file.empty()) {
        return Missing("--plane-token-file", "MILLRACE_PLANE_TOKEN_FILE");
    }
    static const std::regex kPlane("tenants/[^/]+/dataPlanes/[^/]+");
    if (!std::regex_match(flags.plane, kPlane)) {
        return base::MakeError(absl::StatusCode::kInvalidArgument, "FLAG", "--plane is no data plane's name",
                               "Write it as tenants/TENANT/dataPlanes/PLANE.");
    }
    for (const std::string& property : raw.kafka_properties) {
        const size_t equals = property.find('=');
        if (equals == 0 || equals == std::string::npos) {
            return base::MakeError(absl::StatusCode::kInvalidArgument, "FLAG",
                                   "a --kafka-property is not NAME=VALUE");
        }
        ASSIGN_OR_RETURN(flags.kafka.properties[property.substr(0, equals)],
                         Resolve(property.substr(equals + 1)));
    }
    ASSIGN_OR_RETURN(std::string token, Resolve("file:" + raw.token_file));
    flags.plane_token = base::Secret(std::move(token));
    if (!raw.tls_ca.empty()) {
        ASSIGN_OR_RETURN(flags.tls_ca_pem, base::ReadFile(raw.tls_ca));
    }
    if (flags.key_file.empty()) {
        flags.key_file = flags.state_dir / "plane.key";
    }
    return absl::OkStatus();
}

}  // namespace

std::optional<WorkerFlags> ParseWorkerFlags(int argc, char** argv, int* exit_code) {
    CLI::App app("Millrace worker: runs the pipelines of one data plane, as its control plane says.",
                 "millrace-worker");
    app.footer(
        "It needs Kafka, a control plane and a plane token; each of them may come up later than the worker.");
    WorkerFlags flags;
    RawFlags raw;
    Declare(app, flags, raw);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        *exit_code = app.exit(error) == 0 ? 0 : 2;
        return std::nullopt;
    }
    if (flags.describe_connectors) {
        return flags;
    }
    if (const absl::Status status = Complete(raw, flags); !status.ok()) {
        std::cerr << "millrace-worker: " << base::Describe(status) << "\nRun with --help for all flags.\n";
        *exit_code = 2;
        return std::nullopt;
    }
    return flags;
}

}  // namespace millrace
