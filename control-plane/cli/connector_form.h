/// Builds a connector's spec from a URL or from options, by the descriptor that the data plane sent: no
/// connector is known by name here. Not for: checking it (the data plane does).
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "base/secret.h"

namespace millrace::v1 {
class ConnectorSpec;
class DataPlane;
}  // namespace millrace::v1

namespace millrace::cli {

struct ConnectorInput final {
    /// Either a URL …
    std::string url;
    /// … or a type with options.
    std::string type;
    std::map<std::string, std::string> options;
    /// Secret options by name; each a reference for ReadSecret.
    std::map<std::string, base::Secret> secrets;
    /// Reference for the URL's password ("", "env:…", "file:…", "prompt"); overrides the URL's own.
    base::Secret password;
    /// "source" or "destination", for error texts.
    std::string role;
};

/// A spec whose secrets are sealed to the plane's key. InvalidArgument names an unknown scheme, type or
/// option.
absl::StatusOr<v1::ConnectorSpec> BuildConnectorSpec(const ConnectorInput& input, const v1::DataPlane& plane);

}  // namespace millrace::cli
