/// What the merge writer needs of an open connection to an SQL database, and where it gets one from.
/// Not for: SQL text (merge_writer, dialect.h), pooling policy (each connector's own).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "connectors/sdk/batch.h"
#include "connectors/sdk/destination.h"
#include "connectors/sdk/schema.h"

namespace millrace::sql {

/// A column of a load, and where its values come from.
struct LoadColumn final {
    enum class Origin {
        /// `batch.Row(i)[index]`; an unchanged cell is loaded as NULL.
        kCell,
        /// i, the index of the row in the batch (INTEGER).
        kRowNumber,
        /// batch.rows[i].kind == kGone (BOOLEAN).
        kGone,
        /// Whether `batch.Row(i)[index]` is unchanged (BOOLEAN).
        kUnchanged,
        /// The index-th key cell under which the row's unchanged cells stand: batch.source_keys[…][index], or
        /// the row's own
        /// key cell when it did not move.
        kSourceKey,
    };
    std::string name;
    std::string type;
    Origin origin = Origin::kCell;
    int index = 0;
    /// Of kSourceKey: which column of the batch holds that key cell.
    int key_column = 0;
    /// Joins compare it: statistics on it are worth having where a planner uses them.
    bool joined = false;
};

/// What Load fills.
struct LoadTable final {
    /// Empty for a temporary table.
    std::string schema;
    std::string table;
    /// Only rows of kind kPartial are loaded.
    bool partial_only = false;
    /// In table order for a temporary table; for a permanent one any subset, by name.
    std::vector<LoadColumn> columns;

    [[nodiscard]] bool temporary() const { return schema.empty(); }
};

/// The cell that `column` of row `row` is filled with, for the origins kCell and kSourceKey (unchanged →
/// NULL).
sdk::Cell LoadedCell(const LoadColumn& column, const sdk::Batch& batch, size_t row);
/// Makes that cell NULL.
void EmptyCell(const LoadColumn& column, sdk::Batch& batch, size_t row);
/// The value that `column` of row `row` is filled with, for the origins kGone and kUnchanged.
bool LoadedFlag(const LoadColumn& column, const sdk::Batch& batch, size_t row);

/// A value that a column of a stage cannot hold.
struct RefusedCell final {
    /// Index of the row in the batch, and of the column in the stage.
    size_t row = 0;
    size_t column = 0;
    /// Why, without the value.
    std::string reason;
    /// The destination has no characters for it.
    bool not_even_text = false;
};

/// A table as it stands in the destination.
struct TableShape final {
    struct Column final {
        std::string name;
        /// In the spelling that ColumnTypes uses.
        std::string type;
        bool not_null = false;
        /// A default, identity or generation expression fills it when an INSERT leaves it out.
        bool has_default = false;
        /// 1-based ordinal in the primary key, 0 = not in it.
        int key_ordinal = 0;
    };
    std::vector<Column> columns;
    /// Name of the primary key constraint; "" when there is none.
    std::string key_name;
};

/// One open connection in exclusive use of one thread. Every call may return, besides what it names:
/// Unavailable (the connection is gone or the object is locked by others: retry later on a new session),
/// Aborted (serialization conflict: retry the transaction), ResourceExhausted, PermissionDenied (remedy: the
/// GRANT), FailedPrecondition (a refused value: reason VALUE_REJECTED, without the value; anything else that
/// a retry does not heal). A failed call leaves the transaction to be rolled back.
class SqlSession {
 public:
    using Row = std::vector<std::optional<std::string>>;

    /// Rolls back what is open.
    virtual ~SqlSession() = default;

    virtual absl::Status Begin() = 0;
    /// Durable on return. Unavailable: the outcome is unknown.
    virtual absl::Status Commit() = 0;
    /// Safe at any time, also without a transaction or connection.
    virtual void Rollback() = 0;

    /// Runs one statement, or several divided by ';' (stops at the first that fails); returns the number of
    /// rows that the last one wrote or deleted.
    virtual absl::StatusOr<int64_t> Execute(const std::string& sql) = 0;
    /// Runs one statement and returns its rows as text. For small results.
    virtual absl::StatusOr<std::vector<Row>> Query(const std::string& sql) = 0;

    /// Loads the rows of `batch` in bulk, in order. A temporary table is made first, or emptied when it
    /// exists; after the transaction it may be gone, empty or full. Its name stands for its shape (same name,
    /// same columns). Returns the number of rows. Converts cells from the dialect of batch.schema->source.
    virtual absl::StatusOr<int64_t> Load(const LoadTable& table, const sdk::Batch& batch) = 0;

    /// Inside a transaction, which goes on: finds the cells of `batch` that the columns of a temporary table
    /// refuse and empties them (NULL) in it, so that Load can take the batch. Its first column is a row
    /// number. Nothing is left in the table.
    virtual absl::StatusOr<std::vector<RefusedCell>> FindRefused(const LoadTable& stage,
                                                                 sdk::Batch& batch) = 0;

    /// nullopt when there is no such table.
    virtual absl::StatusOr<std::optional<TableShape>> Describe(const sdk::TableTarget& table) = 0;
    virtual absl::StatusOr<bool> SchemaExists(const std::string& schema) = 0;

    /// The type that each column of `schema` gets in this database, in the spelling that it reports itself.
    virtual absl::StatusOr<std::vector<std::string>> ColumnTypes(const sdk::TableSchema& schema) = 0;

    /// Outside any transaction: lets the types of the columns `names` of `table` (in the order of the
    /// batch's) take what `batch` holds, where something only has to be added to them, as a label to an enum.
    /// Returns what was added to; nothing (default) where types are fixed.
    virtual absl::StatusOr<std::vector<sdk::TypeChange>> AdmitValues(
        const sdk::TableTarget& /*table*/, const std::vector<std::string>& /*names*/,
        const sdk::Batch& /*batch*/) {
        return std::vector<sdk::TypeChange>();
    }
};

/// Runs `body` in a transaction of its own. Rolls back where `body` or the commit fails, and returns that error
/// with `doing` before it.
absl::Status InTransaction(SqlSession& session, std::string_view doing, const std::function<absl::Status()>& body);

/// A session for as long as it is held; the deleter gives it back to its owner (rolled back) or closes it.
using SessionLease = std::unique_ptr<SqlSession, std::function<void(SqlSession*)>>;

/// Where sessions come from: a pool, a file opened per flush. Thread-safe; outlives the leases.
class SessionProvider {
 public:
    virtual ~SessionProvider() = default;
    /// May wait for a while. Unavailable, Unauthenticated, NotFound as the connection attempt says.
    virtual absl::StatusOr<SessionLease> Acquire() = 0;
};

}  // namespace millrace::sql
