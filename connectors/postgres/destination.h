/// PostgreSQL as a destination: tables of the source's name and types, written by the shared merge writer.
/// Not for: the source half (source.h), SQL of the merge (connectors/sdk/sql).
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "connectors/sdk/destination.h"
#include "connectors/sdk/options.h"

namespace millrace::postgres {

/// Options that only the destination half takes.
std::vector<sdk::OptionSpec> DestinationOptions();

/// `options` have passed CheckOptions. Does not connect.
absl::StatusOr<std::unique_ptr<sdk::Destination>> MakeDestination(const sdk::Options& options);

}  // namespace millrace::postgres
