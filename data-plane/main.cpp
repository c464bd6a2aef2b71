/// millrace-worker: wires the data plane together and lives until a signal. Not for: logic of its own.

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>

#include "base/admin_server.h"
#include "base/keyed_hash.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/signals.h"
#include "base/status.h"
#include "connectors/catalog.h"
#include "data-plane/agent/agent.h"
#include "data-plane/agent/descriptors.h"
#include "data-plane/agent/plane_key.h"
#include "data-plane/columns/masked_source.h"
#include "data-plane/runtime/pipeline_runner.h"
#include "data-plane/worker_flags.h"

/// Read by jemalloc, where it is linked (https://jemalloc.net/jemalloc.3.html): few arenas, because most memory is handed
/// from one thread to another, and what is freed goes back to the system within a second.
extern "C" const char* malloc_conf;
const char* malloc_conf = "narenas:4,background_thread:true,dirty_decay_ms:500,muzzy_decay_ms:0";

namespace millrace {
namespace {

constexpr std::chrono::seconds kDrainLimit{10};

runtime::Role RoleOf(const std::string& role) {
    return {role != "consumer", role != "publisher"};
}

absl::StatusOr<std::unique_ptr<base::AdminServer>> StartAdmin(const std::string& listen,
                                                              const base::Metrics& metrics,
                                                              const agent::Agent& agent) {
    if (listen.empty()) {
        return nullptr;
    }
    const size_t colon = listen.rfind(':');
    const int port = colon == std::string::npos ? -1 : std::atoi(listen.c_str() + colon + 1);
    if (port < 0 || port > 65535) {
        return base::MakeError(absl::StatusCode::kInvalidArgument, "FLAG", "--admin-listen is not HOST:PORT");
    }
    return base::AdminServer::Start(listen.substr(0, colon), static_cast<uint16_t>(port), metrics,
                                    [&agent] { return agent.Readiness(); });
}

/// Ends the process when draining hangs on a server that does not answer, or on a second signal: what is not
/// applied stays in Kafka, and a batch that is cut off is rolled back by its destination.
void EndAnyway(const std::stop_token& stop) {
    const auto deadline = std::chrono::steady_clock::now() + kDrainLimit;
    while (!stop.stop_requested()) {
        const bool again = base::WaitForShutdownSignal(std::chrono::milliseconds(100)) != 0;
        if (again || std::chrono::steady_clock::now() > deadline) {
            base::LogWarning(
                "ending without having drained everything; the next start goes on from the checkpoints");
            std::_Exit(0);
        }
    }
}

absl::Status RunWorker(const WorkerFlags& flags, const sdk::ConnectorRegistry& registry) {
    ASSIGN_OR_RETURN(const auto lock, agent::StateLock::Acquire(flags.state_dir));
    agent::WorkerIdentity identity{flags.plane, flags.worker_id, agent::RandomHex(), flags.role, ""};
    if (identity.worker_id.empty()) {
        ASSIGN_OR_RETURN(identity.worker_id, agent::LoadOrMakeWorkerId(flags.state_dir));
    }
    ASSIGN_OR_RETURN(base::KeyPair keys, agent::LoadOrMakeKeys(flags.key_file));
    identity.public_key_pem = keys.public_pem;
    ASSIGN_OR_RETURN(const std::string fingerprint, base::Fingerprint(keys.public_pem));
    ASSIGN_OR_RETURN(base::Secret hash_key, base::DeriveKey(keys.private_pem, columns::kHashPurpose));
    base::LogInfo("worker starts", {{"version", MILLRACE_VERSION},
                                    {"plane", flags.plane},
                                    {"worker", identity.worker_id},
                                    {"role", flags.role},
                                    {"key", fingerprint},
                                    {"kafka", flags.kafka.brokers},
                                    {"control", flags.control}});
    // Before all that may take long to end, so that it dies last.
    std::jthread watchdog;
    base::Metrics metrics;
    metrics
        .GetGauge("millrace_build_info", "1; the version is in the label.", {{"version", MILLRACE_VERSION}})
        .Set(1);
    events::EventLog events(identity.boot_id);
    const runtime::WorkerContext context{
        flags.kafka, registry,           metrics, identity.worker_id, RoleOf(flags.role), flags.apply_threads,
        &events,     std::move(hash_key)};
    runtime::Supervisor supervisor(runtime::MakeRunnerFactory(context),
                                   context.grace + std::chrono::seconds(1));
    const agent::Translator translator(registry, std::move(keys), fingerprint);
    agent::Commands commands(registry, translator, flags.kafka);
    agent::LinkOptions link;
    link.endpoint = flags.control;
    link.token = flags.plane_token;
    link.tls_ca_pem = flags.tls_ca_pem;
    agent::Agent agent(identity, registry, translator, commands,
                       agent::LastGood(flags.state_dir / "last-good", flags.plane), supervisor, link,
                       metrics, &events);
    ASSIGN_OR_RETURN(const auto admin, StartAdmin(flags.admin_listen, metrics, agent));
    agent.Start();
    while (base::WaitForShutdownSignal(std::chrono::hours(1)) == 0) {
    }
    base::LogInfo("draining");
    watchdog = std::jthread(EndAnyway);
    agent.BeginDrain();
    supervisor.Stop();
    agent.Stop("the worker shuts down");
    base::LogInfo("worker stops");
    return absl::OkStatus();
}

int Main(int argc, char** argv) {
    base::BlockShutdownSignals();
    int exit_code = 0;
    const auto flags = ParseWorkerFlags(argc, argv, &exit_code);
    if (!flags) {
        return exit_code;
    }
    sdk::ConnectorRegistry registry;
    RegisterAllConnectors(registry);
    if (flags->describe_connectors) {
        std::cout << agent::DescribeConnectorsAsJson(registry);
        return 0;
    }
    absl::Status status = base::InitLogging(flags->log_level, flags->log_format);
    if (status.ok()) {
        status = RunWorker(*flags, registry);
    }
    if (!status.ok()) {
        std::cerr << "millrace-worker: " << base::Describe(status) << "\n";
        return 1;
    }
    return 0;
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) {
    return millrace::Main(argc, argv);
}
