/// What a failure reported by DuckDB means to us. Not for: finding the column of a refused value
/// (session.cpp).
#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace millrace::duckdb {

/// DuckDB's error types that we tell apart; everything else is kOther.
enum class EngineErrorKind {
    kValue,
    kConstraint,
    kConflict,
    kMemory,
    kIo,
    kPermission,
    kDefinition,
    kFatal,
    kOther,
};

/// Reasons: VALUE_REJECTED, CONSTRAINT, CONFLICT, DUCKDB_MEMORY, FILE_LOCKED, NOT_A_DUCKDB_FILE,
/// FILE_VERSION, DISK_FULL, NOT_WRITABLE, FOLDER_MISSING, PATH_IS_FOLDER, DUCKDB_IO, DUCKDB_CATALOG,
/// DUCKDB_FAILED, DUCKDB. The text of value and constraint errors is left out, because it holds values; of
/// the others only the first line is kept, because the rest quotes the statement.
absl::Status StatusFromEngine(EngineErrorKind kind, std::string_view message);

}  // namespace millrace::duckdb
