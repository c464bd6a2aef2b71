/// Connection options that the source and the destination half share, and how libpq gets them.
/// Not for: what one half alone takes, session settings of the replication stream (session.h).
#pragma once

#include <vector>

#include "base/pq.h"
#include "connectors/sdk/options.h"

namespace millrace::postgres {

/// Where the server is, who we are there, and how the connection is protected.
std::vector<sdk::OptionSpec> ConnectionOptions();

/// What only a source takes.
std::vector<sdk::OptionSpec> SourceOptions();

/// `options` have passed CheckOptions. Adds nothing that they do not say; does not connect.
base::PqParameters ConnectionParameters(const sdk::Options& options);

}  // namespace millrace::postgres
