// millrace-control: opens the store, serves the API and the data planes' link until SIGTERM or SIGINT.
#include <chrono>
#include <iostream>

#include "absl/strings/ascii.h"
#include "base/admin_server.h"
#include "base/file.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/signals.h"
#include "base/status.h"
#include "control-plane/api/server.h"
#include "control-plane/control_flags.h"
#include "control-plane/session/hub.h"
#include "control-plane/store/resources.h"
#include "control-plane/store/sqlite_store.h"

namespace millrace {
namespace {

absl::StatusOr<base::Secret> ReadToken(const std::string& path) {
    ASSIGN_OR_RETURN(std::string token, base::ReadFile(path));
    absl::StripAsciiWhitespace(&token);
    if (token.size() < 16) {
        return base::MakeError(absl::StatusCode::kInvalidArgument, "TOKEN_FILE",
                               "The token in " + path + " is shorter than 16 characters.",
                               "Make one with `openssl rand -hex 32`.");
    }
    return base::Secret(std::move(token));
}

absl::StatusOr<api::ServerOptions> ReadServerOptions(const ControlFlags& flags) {
    api::ServerOptions options;
    options.listen = flags.listen;
    if (!flags.insecure_no_auth) {
        ASSIGN_OR_RETURN(options.tokens.api, ReadToken(flags.token_file));
        ASSIGN_OR_RETURN(options.tokens.plane, ReadToken(flags.plane_token_file));
    }
    if (!flags.tls_cert.empty()) {
        ASSIGN_OR_RETURN(options.tls_certificate, base::ReadFile(flags.tls_cert));
        ASSIGN_OR_RETURN(std::string key, base::ReadFile(flags.tls_key));
        options.tls_key = base::Secret(std::move(key));
    }
    return options;
}

absl::StatusOr<std::unique_ptr<base::AdminServer>> StartAdmin(const ControlFlags& flags,
                                                              const base::Metrics& metrics,
                                                              const store::Store& store) {
    if (flags.admin_listen.empty()) {
        return nullptr;
    }
    const auto address = ParseListenAddress(flags.admin_listen).value();
    return base::AdminServer::Start(address.host, address.port, metrics, [&store] {
        const auto revision = store.CurrentRevision();
        return revision.ok() ? std::string() : base::Describe(revision.status());
    });
}

absl::Status Serve(const ControlFlags& flags) {
    ASSIGN_OR_RETURN(api::ServerOptions options, ReadServerOptions(flags));
    ASSIGN_OR_RETURN(const auto store, store::OpenSqliteStore(flags.store));
    const std::string tenant = "tenants/" + flags.tenant;
    RETURN_IF_ERROR(store::EnsurePlane(*store, tenant, tenant + "/dataPlanes/" + flags.data_plane));
    base::Metrics metrics;
    ASSIGN_OR_RETURN(
        const auto hub,
        session::Hub::Start(*store, metrics, {.heartbeat = absl::Milliseconds(flags.heartbeat_ms)}));
    ASSIGN_OR_RETURN(const auto server, api::Server::Start(*store, *hub, metrics, std::move(options)));
    ASSIGN_OR_RETURN(const auto admin, StartAdmin(flags, metrics, *store));
    base::LogInfo("serving", {{"listen", flags.listen},
                              {"port", server->port()},
                              {"admin", flags.admin_listen},
                              {"store", flags.store},
                              {"tls", !flags.tls_cert.empty()},
                              {"auth", !flags.insecure_no_auth},
                              {"version", MILLRACE_VERSION}});
    int signal = 0;
    while (signal == 0) {
        signal = base::WaitForShutdownSignal(std::chrono::hours(1));
    }
    base::LogInfo("shutting down", {{"signal", signal}});
    server->Shutdown();
    base::LogInfo("stopped");
    return absl::OkStatus();
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) {
    millrace::ControlFlags flags;
    if (const auto exit_code = millrace::ParseControlFlags(argc, argv, flags)) {
        return *exit_code;
    }
    if (const absl::Status status = millrace::base::InitLogging(flags.log_level, flags.log_format);
        !status.ok()) {
        std::cerr << "millrace-control: " << millrace::base::Describe(status) << "\n";
        return 2;
    }
    millrace::base::BlockShutdownSignals();
    const absl::Status status = millrace::Serve(flags);
    if (!status.ok()) {
        std::cerr << "millrace-control: " << millrace::base::Describe(status) << "\n";
        return 1;
    }
    return 0;
}
