/// Everything that can be known beforehand about whether a database can be replicated, with what to do where
/// it cannot. Not for: changing anything at the server.
#pragma once

#include "base/pq.h"
#include "connectors/postgres/session.h"
#include "connectors/sdk/finding.h"
#include "connectors/sdk/source.h"

namespace millrace::postgres {

/// Runs every check; one finding for each that passed as well. Stops early only when there is no connection.
sdk::Findings RunPreflight(const base::PqParameters& parameters, const ObjectNames& names,
                           const sdk::TableSelection& selection);

}  // namespace millrace::postgres
