#include "control-plane/api/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/service_type.h>

#include <chrono>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "control-plane/api/connectors.h"
#include "control-plane/api/link_service.h"
#include "control-plane/api/pipelines.h"
#include "control-plane/api/planes.h"
#include "control-plane/api/services.h"
#include "control-plane/api/watches.h"

namespace millrace::api {
namespace {

constexpr int kMaxMessageSize = 64 * 1024 * 1024;
constexpr std::chrono::seconds kDrainTime{3};

/// Finds dead workers within seconds, and lets live ones ping through idle proxies.
void SetKeepalive(grpc::ServerBuilder& builder) {
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
    // Two servers on one port would each get a part of the calls.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.SetMaxReceiveMessageSize(kMaxMessageSize);
    builder.SetMaxSendMessageSize(kMaxMessageSize);
}

std::shared_ptr<grpc::ServerCredentials> Credentials(const ServerOptions& options) {
    if (options.tls_certificate.empty()) {
        return grpc::InsecureServerCredentials();
    }
    grpc::SslServerCredentialsOptions tls;
    tls.pem_key_cert_pairs.push_back({options.tls_key.Reveal(), options.tls_certificate});
    return grpc::SslServerCredentials(tls);
}

}  // namespace

struct Server::Impl final {
    Impl(store::Store& store, session::Hub& hub_in, base::Metrics& metrics, ServerOptions options_in)
        : options(std::move(options_in)),
          hub(hub_in),
          planes(store, hub_in),
          connectors(store, hub_in),
          pipelines(store, hub_in),
          watches(pipelines),
          services(MakeServices({planes, connectors, pipelines, watches, metrics, options.tokens.api})) {
        services.push_back(MakeLinkService(hub_in, metrics, options.tokens.plane));
    }

    const ServerOptions options;
    session::Hub& hub;
    Planes planes;
    Connectors connectors;
    Pipelines pipelines;
    Watches watches;
    std::vector<std::unique_ptr<grpc::Service>> services;
    std::unique_ptr<grpc::Server> server;
    int port = 0;
};

absl::StatusOr<std::unique_ptr<Server>> Server::Start(store::Store& store, session::Hub& hub,
                                                      base::Metrics& metrics, ServerOptions options) {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    auto impl = std::make_unique<Impl>(store, hub, metrics, std::move(options));
    grpc::ServerBuilder builder;
    SetKeepalive(builder);
    builder.AddListeningPort(impl->options.listen, Credentials(impl->options), &impl->port);
    for (const auto& service : impl->services) {
        builder.RegisterService(service.get());
    }
    impl->server = builder.BuildAndStart();
    if (impl->server == nullptr || impl->port == 0) {
        return base::MakeError(
            absl::StatusCode::kUnavailable, "LISTEN_FAILED",
            absl::StrCat("The address ", impl->options.listen, " cannot be listened on."),
            "Stop what uses the port or choose another with --listen; with TLS, check that "
            "certificate and key are PEM and belong together.");
    }
    return std::unique_ptr<Server>(new Server(std::move(impl)));
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() {
    Shutdown();
}

int Server::port() const {
    return impl_->port;
}

void Server::Shutdown() {
    if (impl_->server == nullptr) {
        return;
    }
    impl_->server->GetHealthCheckService()->SetServingStatus(false);
    impl_->watches.Shutdown();
    // Commands under way are answered by it too: no handler runs after this.
    impl_->hub.Shutdown();
    impl_->server->Shutdown(std::chrono::system_clock::now() + kDrainTime);
    impl_->server->Wait();
    impl_->server.reset();
}

}  // namespace millrace::api
