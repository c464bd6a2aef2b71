/// The shared merge writer's session over a DuckDB file: transactions, bulk load, catalogue. Not for: when
/// the file is open (database_file.h).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "connectors/duckdb/database_file.h"
#include "connectors/sdk/sql/session.h"

namespace millrace::duckdb {

/// Keeps the file open for as long as it lives.
class DuckDbSession final : public sql::SqlSession {
 public:
    explicit DuckDbSession(std::unique_ptr<DatabaseFile::Lease> lease);
    ~DuckDbSession() override;

    absl::Status Begin() override;
    absl::Status Commit() override;
    void Rollback() override;
    absl::StatusOr<int64_t> Execute(const std::string& sql) override;
    absl::StatusOr<std::vector<Row>> Query(const std::string& sql) override;
    /// VALUE_REJECTED names table and column.
    absl::StatusOr<int64_t> Load(const sql::LoadTable& table, const sdk::Batch& batch) override;
    absl::StatusOr<std::vector<sql::RefusedCell>> FindRefused(const sql::LoadTable& stage,
                                                              sdk::Batch& batch) override;
    /// FailedPrecondition, reason NAME_CLASH: a table of that name but for case exists, or a view, or the
    /// schema is one of DuckDB's own.
    absl::StatusOr<std::optional<sql::TableShape>> Describe(const sdk::TableTarget& table) override;
    absl::StatusOr<bool> SchemaExists(const std::string& schema) override;
    absl::StatusOr<std::vector<std::string>> ColumnTypes(const sdk::TableSchema& schema) override;

 private:
    std::unique_ptr<DatabaseFile::Lease> lease_;
    bool in_transaction_ = false;
};

/// A new session per lease; nothing is kept in between.
class FileSessions final : public sql::SessionProvider {
 public:
    explicit FileSessions(std::shared_ptr<DatabaseFile> file) : file_(std::move(file)) {}
    absl::StatusOr<sql::SessionLease> Acquire() override;

 private:
    const std::shared_ptr<DatabaseFile> file_;
};

}  // namespace millrace::duckdb
