/// A PostgreSQL connection as the merge writer uses it. Not for: pooling (session_pool), the source half.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/pq.h"
#include "connectors/postgres/copy_binary.h"
#include "connectors/postgres/destination_error.h"
#include "connectors/postgres/refused_search.h"
#include "connectors/sdk/sql/session.h"

namespace millrace::postgres {

/// Keeps its temporary tables for the next batch of the same shape; BEGIN travels with the first statement.
class SqlSession final : public sql::SqlSession {
 public:
    /// Connects and sets what a replica's session needs. Errors as base::PqConnection::Connect.
    static absl::StatusOr<std::unique_ptr<SqlSession>> Connect(const base::PqParameters& parameters);

    absl::Status Begin() override;
    absl::Status Commit() override;
    void Rollback() override;
    absl::StatusOr<int64_t> Execute(const std::string& sql) override;
    absl::StatusOr<std::vector<Row>> Query(const std::string& sql) override;
    absl::StatusOr<int64_t> Load(const sql::LoadTable& table, const sdk::Batch& batch) override;
    absl::StatusOr<std::vector<sql::RefusedCell>> FindRefused(const sql::LoadTable& stage,
                                                              sdk::Batch& batch) override;
    absl::StatusOr<std::optional<sql::TableShape>> Describe(const sdk::TableTarget& table) override;
    absl::StatusOr<bool> SchemaExists(const std::string& schema) override;
    absl::StatusOr<std::vector<std::string>> ColumnTypes(const sdk::TableSchema& schema) override;

    absl::StatusOr<std::vector<sdk::TypeChange>> AdmitValues(const sdk::TableTarget& table,
                                                             const std::vector<std::string>& names,
                                                             const sdk::Batch& batch) override;

    /// Whether the next user can take this session: connected, as far as is known without asking the server,
    /// and outside any transaction.
    [[nodiscard]] bool Reusable();

 private:
    explicit SqlSession(std::unique_ptr<base::PqConnection> connection);

    absl::StatusOr<base::PqResult> Run(const std::string& sql);
    absl::Status MakeStage(const sql::LoadTable& table);
    absl::StatusOr<int64_t> Copy(const sql::LoadTable& table, const sdk::Batch& batch);
    /// The form of `table` for a batch that is large enough to gain by it; nullopt where text is to be used.
    std::optional<CopyBinary> BinaryFor(const sql::LoadTable& table, const sdk::Batch& batch);
    /// Whether the columns of a permanent table have the types that `table` says, which stay until the transaction ends.
    absl::StatusOr<bool> HasTypes(const sql::LoadTable& table);
    /// nullopt when the server, or we, could not read a value in this form: nothing is loaded then, text tells why.
    absl::StatusOr<std::optional<int64_t>> CopyAsBinary(const sql::LoadTable& table, const sdk::Batch& batch,
                                                        const CopyBinary& binary);
    absl::StatusOr<int64_t> CopyAsText(const sql::LoadTable& table, const sdk::Batch& batch);
    /// Sends the rows of `batch` that belong into `table`, as `append` writes them to a buffer.
    absl::StatusOr<int64_t> SendRows(const sql::LoadTable& table, const sdk::Batch& batch, bool binary,
                                     const std::function<bool(size_t row)>& append);
    absl::Status Analyze(const sql::LoadTable& table);
    absl::StatusOr<std::string> TypeAtServer(const sdk::Column& column);
    /// The server's own name for a type that is not part of every server; nullopt when it lacks the type.
    absl::StatusOr<std::optional<std::string>> FindType(const std::string& name);
    /// Makes the enum `name` with `labels`; nullopt where the role may not.
    absl::StatusOr<std::optional<std::string>> MakeEnum(const std::string& name,
                                                        const std::vector<std::string>& labels);
    [[nodiscard]] absl::Status Refine(const absl::Status& status) const;
    /// One trial of FindRefused with rows `rows` of the batch; undone when it fails.
    absl::StatusOr<std::optional<Refusal>> TryRows(const sql::LoadTable& stage, const sdk::Batch& batch,
                                                   const std::vector<size_t>& rows, const Trial& trial);
    /// The column that the server's last COPY error was about, "" when unknown.
    [[nodiscard]] std::string RefusedColumn(const sql::LoadTable& table, const sdk::Batch& batch) const;

    std::unique_ptr<base::PqConnection> connection_;
    Whereabouts where_;
    bool begin_pending_ = false;
    /// Temporary tables of this session, last used first: as this transaction sees them, and as the last
    /// commit left them.
    std::list<std::string> stages_;
    std::list<std::string> committed_stages_;
    /// Those that hold rows of this transaction.
    std::set<std::string> filled_;
    std::string buffer_;
    /// Tables whose values did not suit the binary form, and for how many more loads they are written as text.
    std::map<std::string, int> as_text_;
};

}  // namespace millrace::postgres
