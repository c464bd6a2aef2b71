/// Command line and environment of millrace-control. Not for: reading the files that flags name (main.cpp).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace millrace {

struct ControlFlags final {
    std::string listen = "127.0.0.1:7443";
    std::string admin_listen = "127.0.0.1:7444";
    std::string store = "control.db";
    std::string token_file;
    std::string plane_token_file;
    bool insecure_no_auth = false;
    std::string tls_cert;
    std::string tls_key;
    std::string tenant = "default";
    std::string data_plane = "default";
    int heartbeat_ms = 1000;
    std::string log_level = "info";
    std::string log_format = "auto";
};

/// What of `listen` ("host:port", "[::1]:port") is host and what port; nullopt when it is none.
struct ListenAddress final {
    std::string host;
    uint16_t port = 0;
};
std::optional<ListenAddress> ParseListenAddress(const std::string& listen);

/// Fills `flags`. Returns nullopt to go on, else the code to exit with at once: after --help and --version,
/// which are written to stdout, and after a wrong flag, which is told on stderr with what to do.
std::optional<int> ParseControlFlags(int argc, const char* const* argv, ControlFlags& flags);

}  // namespace millrace
