/// The pipeline's two publications: making them, keeping their members exact, dropping them. Not for: slots.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/pq.h"
#include "connectors/postgres/session.h"
#include "connectors/sdk/source.h"

namespace millrace::postgres {

/// The statements that make both publications hold exactly `tables` (those with a key in the first, the
/// others in the second); none when they do already. FailedPrecondition, reason PUB_FILTERED or
/// PUB_ALL_TABLES: a publication of that name was made in a way that would hide or add changes.
absl::StatusOr<std::vector<std::string>> PlanPublications(base::PqConnection& session,
                                                          const ObjectNames& names,
                                                          const std::vector<sdk::SourceTable>& tables);

/// Runs the plan, in one transaction unless it names very many tables. PermissionDenied, reason PUB_CREATE_RIGHT: the role may not; the remedy
/// is the plan.
absl::Status PreparePublications(base::PqConnection& session, const ObjectNames& names,
                                 const std::vector<sdk::SourceTable>& tables);

/// Drops those of ours that this role may drop; one that an owner made for us stays.
/// Sets SourceTable::stream_entry of each of `tables`: that of the publication which the table belongs to by its key.
absl::Status ReadStreamEntries(base::PqConnection& session, const ObjectNames& names,
                               std::vector<sdk::SourceTable>& tables);

absl::Status DropPublications(base::PqConnection& session, const ObjectNames& names);

}  // namespace millrace::postgres
