/// Connection URLs as people type them ("postgres://user:secret@host:5432/db?sslmode=require"), taken apart.
/// Not for: knowing which option of a connector a part means (connector_form does).
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/secret.h"

namespace millrace::cli {

struct ConnectionUrl final {
    std::string scheme;
    std::string host;
    std::string port;
    std::string user;
    base::Secret password;
    /// With its leading slash: "/db", "/var/lib/x.duckdb"; for "duckdb:relative.db" without one.
    std::string path;
    std::map<std::string, std::string> parameters;
};

/// Percent-decodes every part; IPv6 hosts stand in brackets. InvalidArgument never repeats the URL (it may
/// hold a password).
absl::StatusOr<ConnectionUrl> ParseConnectionUrl(std::string_view url);

}  // namespace millrace::cli
