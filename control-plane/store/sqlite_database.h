/// SQLite behind RAII and absl::Status. Not for: the layout of the store (sqlite_store.cpp).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

struct sqlite3;
struct sqlite3_stmt;

namespace millrace::store {

/// One prepared statement, run once. Parameters are bound from 1.
class SqliteStatement final {
 public:
    SqliteStatement(SqliteStatement&& other) noexcept;
    SqliteStatement& operator=(SqliteStatement&&) = delete;
    ~SqliteStatement();

    SqliteStatement& Bind(int index, int64_t value);
    SqliteStatement& Bind(int index, const std::string& text);
    SqliteStatement& BindBlob(int index, const std::string& bytes);
    /// True when there is a row. Unavailable (disk full, busy, I/O) or Internal (reason STORE_FAILED).
    absl::StatusOr<bool> Step();
    /// Runs to the end.
    absl::Status Run();
    [[nodiscard]] int64_t Integer(int column) const;
    [[nodiscard]] std::string Text(int column) const;

 private:
    friend class SqliteDatabase;
    SqliteStatement(sqlite3* database, sqlite3_stmt* statement)
        : database_(database), statement_(statement) {}
    sqlite3* database_;
    sqlite3_stmt* statement_;
};

/// A connection used by one thread at a time.
class SqliteDatabase final {
 public:
    /// Opens or makes the file with WAL and synchronous=FULL. Unavailable names the file when it cannot be
    /// opened.
    static absl::StatusOr<std::unique_ptr<SqliteDatabase>> Open(const std::string& path);
    ~SqliteDatabase();
    SqliteDatabase(const SqliteDatabase&) = delete;
    SqliteDatabase& operator=(const SqliteDatabase&) = delete;

    absl::StatusOr<SqliteStatement> Prepare(const std::string& sql);
    /// One or more statements without parameters or results.
    absl::Status Execute(const std::string& sql);

 private:
    explicit SqliteDatabase(sqlite3* database) : database_(database) {}
    sqlite3* database_;
};

}  // namespace millrace::store
