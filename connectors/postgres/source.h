/// PostgreSQL as a source: one replication slot and two publications per pipeline.
/// Not for: the destination half (destination.h), delivery (data-plane/publish).
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "connectors/sdk/options.h"
#include "connectors/sdk/source.h"

namespace millrace::postgres {

/// `options` have passed CheckOptions; `stream` is the pipeline id. Does not connect.
absl::StatusOr<std::unique_ptr<sdk::Source>> MakeSource(const sdk::Options& options,
                                                        const std::string& stream);

}  // namespace millrace::postgres
