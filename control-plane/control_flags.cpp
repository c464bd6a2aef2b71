#include "control-plane/control_flags.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <iostream>

#include "control-plane/domain/resource_name.h"

namespace millrace {
namespace {

std::string CheckListen(const std::string& value) {
    return ParseListenAddress(value) ? "" : "'" + value + "' is no HOST:PORT, e.g. 127.0.0.1:7443";
}

std::string CheckId(const std::string& value) {
    return domain::CheckId("resource", value).ok()
               ? ""
               : "'" + value + "' is no name: use 1 to 40 lower-case letters, digits and '-'";
}

void Declare(CLI::App& app, ControlFlags& flags) {
    app.set_version_flag("--version", std::string("millrace-control ") + MILLRACE_VERSION);
    app.add_option("--listen", flags.listen, "HOST:PORT of the API and of the data planes' link (gRPC)")
        ->envname("MILLRACE_CONTROL_LISTEN")
        ->check(CheckListen)
        ->capture_default_str();
    app.add_option("--admin-listen", flags.admin_listen,
                   "HOST:PORT of /healthz, /readyz and /metrics (HTTP); empty for none")
        ->envname("MILLRACE_CONTROL_ADMIN_LISTEN")
        ->capture_default_str();
    app.add_option("--store", flags.store, "file that holds all resources (SQLite); made when absent")
        ->envname("MILLRACE_CONTROL_STORE")
        ->capture_default_str();
    app.add_option("--token-file", flags.token_file,
                   "file that holds the token which clients of the API must send")
        ->envname("MILLRACE_CONTROL_TOKEN_FILE");
    app.add_option("--plane-token-file", flags.plane_token_file,
                   "file that holds the token which workers of data planes must send")
        ->envname("MILLRACE_CONTROL_PLANE_TOKEN_FILE");
    app.add_flag("--insecure-no-auth", flags.insecure_no_auth,
                 "ask nobody for a token (for experiments on one machine)");
    app.add_option("--tls-cert", flags.tls_cert,
                   "certificate chain (PEM); with --tls-key, all traffic is TLS")
        ->envname("MILLRACE_CONTROL_TLS_CERT");
    app.add_option("--tls-key", flags.tls_key, "the certificate's private key (PEM)")
        ->envname("MILLRACE_CONTROL_TLS_KEY");
    app.add_option("--tenant", flags.tenant, "tenant that is made at the first start")
        ->envname("MILLRACE_CONTROL_TENANT")
        ->check(CheckId)
        ->capture_default_str();
    app.add_option("--data-plane", flags.data_plane,
                   "data plane of that tenant that is made at the first start")
        ->envname("MILLRACE_CONTROL_DATA_PLANE")
        ->check(CheckId)
        ->capture_default_str();
    app.add_option("--heartbeat-ms", flags.heartbeat_ms,
                   "how often workers report; what is older than three heartbeats counts as unknown")
        ->envname("MILLRACE_CONTROL_HEARTBEAT_MS")
        ->check(CLI::Range(100, 60'000))
        ->capture_default_str();
    app.add_option("--log-level", flags.log_level, "debug, info, warning or error")
        ->envname("MILLRACE_LOG_LEVEL")
        ->capture_default_str();
    app.add_option("--log-format", flags.log_format, "text, json, or auto: text on a terminal, else json")
        ->envname("MILLRACE_LOG_FORMAT")
        ->capture_default_str();
    app.footer(
        "Example:\n"
        "  openssl rand -hex 32 > api.token; openssl rand -hex 32 > plane.token\n"
        "  millrace-control --store control.db --token-file api.token --plane-token-file plane.token\n\n"
        "Every flag can be set by the environment variable behind it. SIGTERM ends it in order.");
}

/// What no single flag can tell; "" when all is well.
std::string CheckTogether(const ControlFlags& flags) {
    if (!flags.insecure_no_auth && (flags.token_file.empty() || flags.plane_token_file.empty())) {
        return "--token-file and --plane-token-file are both needed. Make them with `openssl rand -hex 32 > "
               "FILE`, or "
               "give --insecure-no-auth to ask nobody.";
    }
    if (flags.insecure_no_auth && (!flags.token_file.empty() || !flags.plane_token_file.empty())) {
        return "--insecure-no-auth contradicts a token file. Leave one of them out.";
    }
    if (flags.tls_cert.empty() != flags.tls_key.empty()) {
        return "--tls-cert and --tls-key are only of use together. Give both, or none for plain text.";
    }
    if (!flags.admin_listen.empty() && !ParseListenAddress(flags.admin_listen)) {
        return "--admin-listen: " + CheckListen(flags.admin_listen) + ".";
    }
    return "";
}

}  // namespace

std::optional<ListenAddress> ParseListenAddress(const std::string& listen) {
    const size_t colon = listen.rfind(':');
    if (colon == std::string::npos || colon == 0) {
        return std::nullopt;
    }
    ListenAddress address;
    address.host = listen.substr(0, colon);
    if (address.host.front() == '[' && address.host.back() == ']') {
        address.host = address.host.substr(1, address.host.size() - 2);
    }
    const char* begin = listen.data() + colon + 1;
    const char* end = listen.data() + listen.size();
    const auto [rest, error] = std::from_chars(begin, end, address.port);
    if (error != std::errc() || rest != end || begin == end) {
        return std::nullopt;
    }
    return address;
}

std::optional<int> ParseControlFlags(int argc, const char* const* argv, ControlFlags& flags) {
    CLI::App app(
        "millrace-control: keeps connectors and pipelines, serves the API, and tells data planes what to "
        "run.",
        "millrace-control");
    Declare(app, flags);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    }
    if (const std::string wrong = CheckTogether(flags); !wrong.empty()) {
        std::cerr << "millrace-control: " << wrong << "\nRun with --help for all flags.\n";
        return 2;
    }
    return std::nullopt;
}

}  // namespace millrace
