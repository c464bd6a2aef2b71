/// Streams a batch's rows into a table: cells as text, cast by DuckDB. Not for: transactions (session.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "connectors/duckdb/engine.h"
#include "connectors/sdk/sql/session.h"

namespace millrace::duckdb {

/// Makes or empties a temporary `table`, then loads the rows that it asks for. Returns their number.
/// VALUE_REJECTED names table and column when the value was refused before DuckDB saw it, and neither
/// otherwise (FindRejected does).
absl::StatusOr<int64_t> LoadRows(Connection& connection, const sql::LoadTable& table,
                                 const sdk::Batch& batch);

/// What to say when LoadRows met a value that DuckDB refused without naming its column: `rejection` with
/// table and column. To be called outside any transaction.
absl::Status ExplainRejection(Connection& connection, const sql::LoadTable& table, const sdk::Batch& batch,
                              const absl::Status& rejection);

/// See sql::SqlSession::FindRefused.
absl::StatusOr<std::vector<sql::RefusedCell>> FindRefusedCells(Connection& connection,
                                                               const sql::LoadTable& stage,
                                                               sdk::Batch& batch);

}  // namespace millrace::duckdb
