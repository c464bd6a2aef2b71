/// What a connector registers: its description and its factories. Not for: knowing any connector by name (the generated
/// catalogue alone does).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "connectors/sdk/destination.h"
#include "connectors/sdk/options.h"
#include "connectors/sdk/source.h"

namespace millrace::sdk {

struct Connector final {
    std::string type;
    std::string display_name;
    std::string documentation;
    std::vector<std::string> url_schemes;
    std::vector<OptionSpec> options;
    /// Absent when it is no source. `options` have passed CheckOptions. `stream` is the pipeline id. Does not connect.
    std::function<absl::StatusOr<std::unique_ptr<Source>>(const Options& options, const std::string& stream)> make_source;
    /// Absent when it is no destination. Does not connect.
    std::function<absl::StatusOr<std::unique_ptr<Destination>>(const Options& options)> make_destination;
};

/// Filled once in main, read-only afterwards.
class ConnectorRegistry final {
  public:
    /// AlreadyExists when the type is taken.
    absl::Status Add(Connector connector);
    /// NotFound names the types that exist.
    [[nodiscard]] absl::StatusOr<const Connector*> Find(const std::string& type) const;
    [[nodiscard]] std::vector<const Connector*> All() const;

  private:
    std::map<std::string, Connector> connectors_;
};

}  // namespace millrace::sdk
