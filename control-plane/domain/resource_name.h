/// Names of resources: "tenants/{t}", "tenants/{t}/dataPlanes/{d}", "tenants/{t}/connectors/{c}",
/// "tenants/{t}/pipelines/{p}". Not for: names of tables, topics, slots.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace millrace::domain {

enum class Collection { kDataPlanes, kConnectors, kPipelines };

/// A name taken apart.
struct ResourceName final {
    /// "tenants/{t}".
    std::string parent;
    std::string id;
};

/// InvalidArgument (reason NAME_INVALID) says what the name should look like.
absl::StatusOr<ResourceName> ParseName(Collection collection, const std::string& name);
absl::Status CheckTenantName(const std::string& name);

/// "tenants/{t}" and an id to a name.
std::string MakeName(Collection collection, const std::string& parent, const std::string& id);

/// Ids of all resources: 1 to 40 lower-case letters, digits and '-', beginning with a letter or digit and not
/// ending with
/// '-' (topics and slots are named after pipelines). InvalidArgument (reason ID_INVALID).
absl::Status CheckId(const std::string& what, const std::string& id);

}  // namespace millrace::domain
