#include "connectors/duckdb/engine_error.h"

#include <string>

#include "base/status.h"
#include "base/text.h"

namespace millrace::duckdb {
namespace {

using absl::StatusCode;
using base::MakeError;

bool Has(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

// What stands between the first `open` and the next `close` after it; "" when there is no such part.
std::string_view Between(std::string_view text, std::string_view open, std::string_view close) {
    const size_t begin = text.find(open);
    if (begin == std::string_view::npos) {
        return {};
    }
    const size_t from = begin + open.size();
    const size_t to = text.find(close, from);
    return to == std::string_view::npos ? std::string_view() : text.substr(from, to - from);
}

absl::Status Locked(std::string_view message) {
    const std::string_view file = Between(message, "lock on file \"", "\"");
    const std::string_view pid = Between(message, "(PID ", ")");
    std::string text = base::Concat("the DuckDB file ", file, " is open in another process");
    std::string remedy = "Close the file in the other process";
    if (!pid.empty()) {
        base::Append(text, " (pid ", pid, ")");
        base::Append(remedy, " (pid ", pid, ")");
    }
    remedy +=
        "; changes wait meanwhile and nothing is lost. Readers may open it READ_ONLY for a moment at a time.";
    return MakeError(StatusCode::kUnavailable, "FILE_LOCKED", text, remedy);
}

absl::Status Io(std::string_view message) {
    if (Has(message, "Could not set lock on file")) {
        return Locked(message);
    }
    if (Has(message, "not a valid DuckDB database file")) {
        return MakeError(StatusCode::kFailedPrecondition, "NOT_A_DUCKDB_FILE", message,
                         "Name another file, or move this one away: Millrace makes a new one.");
    }
    if (Has(message, "version number")) {
        return MakeError(StatusCode::kFailedPrecondition, "FILE_VERSION", message,
                         "Export the file with the DuckDB version that wrote it, or name another file.");
    }
    if (Has(message, "No space left") || Has(message, "Disk quota")) {
        return MakeError(StatusCode::kUnavailable, "DISK_FULL", message,
                         "Free space on the disk of the file.");
    }
    if (Has(message, "Permission denied") || Has(message, "Read-only file system")) {
        return MakeError(StatusCode::kPermissionDenied, "NOT_WRITABLE", message,
                         "Let the worker's user write the file and its folder, or name another file.");
    }
    if (Has(message, "Is a directory")) {
        return MakeError(StatusCode::kFailedPrecondition, "PATH_IS_FOLDER", message,
                         "Name a file, not a folder.");
    }
    if (Has(message, "No such file or directory")) {
        return MakeError(StatusCode::kFailedPrecondition, "FOLDER_MISSING", message,
                         "Make the folder on the machine of the worker.");
    }
    return MakeError(StatusCode::kUnavailable, "DUCKDB_IO", message);
}

}  // namespace

absl::Status StatusFromEngine(EngineErrorKind kind, std::string_view message) {
    message = message.substr(0, message.find('\n'));
    // What fails at commit only comes as a failure of the transaction.
    if (kind == EngineErrorKind::kConflict && Has(message, "constraint")) {
        kind = EngineErrorKind::kConstraint;
    } else if (kind == EngineErrorKind::kConflict && Has(message, "Failed to commit: Could not ")) {
        kind = EngineErrorKind::kIo;
    }
    switch (kind) {
        case EngineErrorKind::kValue:
            return MakeError(StatusCode::kFailedPrecondition, "VALUE_REJECTED",
                             "DuckDB cannot store a value in the type of its column");
        case EngineErrorKind::kConstraint:
            return MakeError(StatusCode::kFailedPrecondition, "CONSTRAINT",
                             "a constraint of the destination table refuses a row",
                             "Drop constraints that were added to the table: the source enforces its own.");
        case EngineErrorKind::kConflict:
            return MakeError(StatusCode::kAborted, "CONFLICT", message);
        case EngineErrorKind::kMemory:
            // The text says how much was asked for, never what for.
            return MakeError(StatusCode::kResourceExhausted, "DUCKDB_MEMORY", message,
                             "Raise the connector's memory_limit.");
        case EngineErrorKind::kIo:
            return Io(message);
        case EngineErrorKind::kPermission:
            return MakeError(StatusCode::kPermissionDenied, "NOT_WRITABLE", message);
        case EngineErrorKind::kDefinition:
            if (Has(message, "Table with name") && Has(message, "does not exist")) {
                return MakeError(StatusCode::kFailedPrecondition, "TABLE_MISSING", message,
                                 "Restore it in the destination, or replicate the table anew.");
            }
            return MakeError(StatusCode::kFailedPrecondition, "DUCKDB_CATALOG", message);
        case EngineErrorKind::kFatal:
            return MakeError(
                StatusCode::kUnavailable, "DUCKDB_FAILED", message,
                "The file is closed and opened anew; if this returns, check the disk and the file.");
        case EngineErrorKind::kOther:
            break;
    }
    return MakeError(StatusCode::kFailedPrecondition, "DUCKDB", message);
}

}  // namespace millrace::duckdb
