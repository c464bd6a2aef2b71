/// The words in which SQL databases differ, for the one merge writer that all of them share.
/// Not for: connections or statements that run (session.h), conversion of cells (a session's Load).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/sdk/change_event.h"
#include "connectors/sdk/destination.h"
#include "connectors/sdk/schema.h"

namespace millrace::sql {

/// How a column that exists in the destination suits the type that a batch needs.
enum class TypeFit {
    /// Same type, or the existing one holds every value of the wanted one exactly: leave it.
    kFits,
    /// Changing the existing column to the wanted type loses nothing: ALTER it.
    kWiden,
    /// Neither: the table is held (reason TYPE_CHANGED).
    kClash,
};

/// Pure and thread-safe; one object serves all writers of a destination and outlives them.
class Dialect {
 public:
    virtual ~Dialect() = default;

    /// "Postgres", "DuckDB": for messages.
    [[nodiscard]] virtual std::string product() const = 0;

    /// Default: double quotes, embedded ones doubled.
    [[nodiscard]] virtual std::string QuoteIdentifier(std::string_view name) const;
    /// Default: single quotes, embedded ones doubled; nothing else is special.
    [[nodiscard]] virtual std::string QuoteLiteral(std::string_view text) const;

    /// Names of the columns at the destination, one per column of `schema`, distinct under the destination's
    /// own rules (a destination that ignores case must tell "a" from "A"). Default: the source's names.
    [[nodiscard]] virtual std::vector<std::string> ColumnNames(const sdk::TableSchema& schema) const;

    /// Whether the destination takes two names for one. Default: only equal ones.
    [[nodiscard]] virtual bool SameName(std::string_view a, std::string_view b) const { return a == b; }

    /// Compares type names as SqlSession::Describe and SqlSession::ColumnTypes give them.
    [[nodiscard]] virtual TypeFit CompareTypes(const std::string& existing,
                                               const std::string& wanted) const = 0;

    /// The type behind the one that ColumnTypes gives a column, where a column that fits this one is as good;
    /// "" (default) where there is none.
    [[nodiscard]] virtual std::string UnderlyingType(const sdk::Column& column) const;

    /// A type that holds every uint64_t exactly and reads back as decimal text: "numeric(20)", "UBIGINT".
    [[nodiscard]] virtual std::string UnsignedType() const = 0;

    /// Whether keyed tables get a PRIMARY KEY on their key columns (kept in step with the source's key),
    /// because joins by key need an index there. Where false no statement about keys is ever made.
    [[nodiscard]] virtual bool IndexesKeys() const = 0;

    /// Run in a transaction before CREATE or ALTER of anything that several writers may make at the same
    /// time; it must keep the others out until the transaction ends. "" (default) where the database needs no
    /// such thing or where a conflict comes back as Aborted.
    [[nodiscard]] virtual std::string DdlLock() const { return ""; }

    /// A query that ends the sessions, of our own role, that changed a row of `table` (quoted already) under `where`, have
    /// not committed and wait for their client; a row for each. "" (default) where no session can be ended.
    [[nodiscard]] virtual std::string EndStalledHolders(std::string_view table, std::string_view where) const;

    /// A statement that makes an index for finding long texts of `column` of `table` (quoted already); ""
    /// (default) where scanning is as good.
    [[nodiscard]] virtual std::string TextIndex(std::string_view name, std::string_view table,
                                                std::string_view column) const;

    /// Most columns that a table may have; 0 (default) where no source has as many. A stage of more is divided.
    [[nodiscard]] virtual size_t MaxColumns() const { return 0; }

    /// Batches of up to this many rows (and 64 KiB of cells, without unchanged cells) are written as literals
    /// by one script of few round trips, without a stage. 0 (default): never; Literal is not called then.
    [[nodiscard]] virtual size_t InlineRows() const { return 0; }
    /// A cell as an SQL expression that the column takes; NULL for NULL. Never called with an unchanged cell.
    /// Default: QuoteLiteral.
    [[nodiscard]] virtual std::string Literal(const sdk::Column& column, const sdk::Cell& cell) const;

    /// A value of the source as a constant of `type`, spelt as ColumnTypes does; nullopt when the type cannot
    /// hold it as it is. Default: QuoteLiteral.
    [[nodiscard]] virtual std::optional<std::string> Constant(std::string_view type,
                                                              std::string_view text) const;

    /// Whether a table is emptied before it is altered in one transaction (cheaper where altering rewrites
    /// rows), or after (where a table cannot be altered once rows of it were deleted).
    [[nodiscard]] virtual bool EmptiesBeforeAlter() const { return true; }

    /// Quoted "schema"."table".
    [[nodiscard]] std::string Qualified(const sdk::TableTarget& table) const;
};

}  // namespace millrace::sql
