#include "control-plane/store/sqlite_database.h"

#include <sqlite3.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace millrace::store {
namespace {

absl::Status Failure(sqlite3* database, const std::string& what) {
    const int code = sqlite3_errcode(database);
    const bool passing = code == SQLITE_BUSY || code == SQLITE_FULL || code == SQLITE_IOERR ||
                         code == SQLITE_READONLY || code == SQLITE_CANTOPEN;
    return base::MakeError(passing ? absl::StatusCode::kUnavailable : absl::StatusCode::kInternal,
                           "STORE_FAILED",
                           absl::StrCat("The store failed while ", what, ": ", sqlite3_errmsg(database), "."),
                           "Check the disk that holds the store: its free space and the rights of the file.");
}

}  // namespace

SqliteStatement::SqliteStatement(SqliteStatement&& other) noexcept
    : database_(other.database_), statement_(std::exchange(other.statement_, nullptr)) {}

SqliteStatement::~SqliteStatement() {
    sqlite3_finalize(statement_);
}

SqliteStatement& SqliteStatement::Bind(int index, int64_t value) {
    sqlite3_bind_int64(statement_, index, value);
    return *this;
}

SqliteStatement& SqliteStatement::Bind(int index, const std::string& text) {
    sqlite3_bind_text64(statement_, index, text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
    return *this;
}

SqliteStatement& SqliteStatement::BindBlob(int index, const std::string& bytes) {
    // An empty value is stored as an empty blob, which a null pointer would turn into NULL.
    sqlite3_bind_blob64(statement_, index, bytes.empty() ? "" : bytes.data(), bytes.size(), SQLITE_TRANSIENT);
    return *this;
}

absl::StatusOr<bool> SqliteStatement::Step() {
    switch (sqlite3_step(statement_)) {
        case SQLITE_ROW:
            return true;
        case SQLITE_DONE:
            return false;
        default:
            return Failure(database_, "running a statement");
    }
}

absl::Status SqliteStatement::Run() {
    while (true) {
        ASSIGN_OR_RETURN(const bool row, Step());
        if (!row) {
            return absl::OkStatus();
        }
    }
}

int64_t SqliteStatement::Integer(int column) const {
    return sqlite3_column_int64(statement_, column);
}

std::string SqliteStatement::Text(int column) const {
    const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_, column));
    const auto size = static_cast<size_t>(sqlite3_column_bytes(statement_, column));
    return data == nullptr ? std::string() : std::string(data, size);
}

absl::StatusOr<std::unique_ptr<SqliteDatabase>> SqliteDatabase::Open(const std::string& path) {
    sqlite3* raw = nullptr;
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    const int code = sqlite3_open_v2(path.c_str(), &raw, flags, nullptr);
    std::unique_ptr<SqliteDatabase> database(new SqliteDatabase(raw));
    if (code != SQLITE_OK) {
        return base::MakeError(
            absl::StatusCode::kUnavailable, "STORE_FAILED",
            absl::StrCat("The store ", path, " cannot be opened: ", sqlite3_errstr(code), "."),
            "Give --store a path in a folder that this process may write.");
    }
    sqlite3_busy_timeout(raw, 5000);
    RETURN_IF_ERROR(
        base::Annotate(database->Execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"), path));
    return database;
}

SqliteDatabase::~SqliteDatabase() {
    sqlite3_close_v2(database_);
}

absl::StatusOr<SqliteStatement> SqliteDatabase::Prepare(const std::string& sql) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(database_, sql.c_str(), static_cast<int>(sql.size()), &statement, nullptr) !=
        SQLITE_OK) {
        return Failure(database_, "preparing a statement");
    }
    return SqliteStatement(database_, statement);
}

absl::Status SqliteDatabase::Execute(const std::string& sql) {
    if (sqlite3_exec(database_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
        return Failure(database_, "running a statement");
    }
    return absl::OkStatus();
}

}  // namespace millrace::store
