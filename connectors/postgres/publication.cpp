#include "connectors/postgres/publication.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_join.h"
#include "base/log.h"
#include "base/status.h"
#include "base/text.h"

namespace millrace::postgres {
namespace {

// A statement locks all its tables until its transaction ends, and a server holds some thousand locks (64 for each
// connection that it allows, unless configured otherwise).
constexpr size_t kTablesAtOnce = 1000;
constexpr size_t kStatementsAtOnce = 3;

using TableName = std::pair<std::string, std::string>;
using TableNames = std::set<TableName>;

struct Publication final {
    bool same_options = false;
    TableNames tables;
};

struct Wanted final {
    std::string name;
    std::string_view publish;
    bool updates;
    TableNames tables;
};

std::string Quoted(const TableName& name) {
    return base::Concat(base::QuoteIdentifier(name.first), ".", base::QuoteIdentifier(name.second));
}

// ONLY, because the descendants of an ordinary table are tables of their own; a partitioned one is its
// partitions anyway.
std::string TableClause(const TableNames& tables) {
    return base::Concat("TABLE ", absl::StrJoin(tables, ", ", [](std::string* out, const TableName& name) {
                            base::Append(*out, "ONLY ", Quoted(name));
                        }));
}

std::string OptionsClause(const Wanted& wanted, int server_version) {
    return base::Concat("(publish = '", wanted.publish,
                        server_version >= 130000 ? "', publish_via_partition_root = true)" : "')");
}

absl::Status FilteredError(const std::string& name, std::string_view table) {
    return base::MakeError(absl::StatusCode::kFailedPrecondition, "PUB_FILTERED",
                           base::Concat("publication ", name, " has a row filter or column list for ", table,
                                        ", so that the stream and the copy of the table would differ"),
                           base::Concat("Run DROP PUBLICATION ", base::QuoteIdentifier(name),
                                        "; it is made again without filters."));
}

absl::StatusOr<std::optional<Publication>> ReadPublication(base::PqConnection& session,
                                                           const Wanted& wanted) {
    const bool via_root = session.server_version() >= 130000;
    ASSIGN_OR_RETURN(
        const base::PqResult options,
        session.ExecuteParams(
            base::Concat("SELECT p.puballtables, p.pubinsert AND p.pubtruncate AND p.pubupdate = $2 "
                         "AND p.pubdelete = $2",
                         via_root ? " AND p.pubviaroot" : "",
                         session.server_version() >= 150000
                             ? ", EXISTS (SELECT FROM pg_publication_namespace s WHERE s.pnpubid = "
                               "p.oid)"
                             : ", false",
                         " FROM pg_publication p WHERE p.pubname = $1"),
            {wanted.name, wanted.updates ? "true" : "false"}));
    if (options.rows() == 0) {
        return std::nullopt;
    }
    if (options.GetBool(0, 0) || options.GetBool(0, 2)) {
        return base::MakeError(absl::StatusCode::kFailedPrecondition, "PUB_ALL_TABLES",
                               base::Concat("publication ", wanted.name,
                                            " is for all tables or for whole schemas, not for a list"),
                               base::Concat("Run DROP PUBLICATION ", base::QuoteIdentifier(wanted.name),
                                            "; it is made again as a list."));
    }
    ASSIGN_OR_RETURN(
        const base::PqResult members,
        session.ExecuteParams(
            base::Concat("SELECT n.nspname, c.relname, ",
                         session.server_version() >= 150000 ? "r.prqual IS NOT NULL OR r.prattrs IS NOT NULL"
                                                            : "false",
                         " FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid "
                         "JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = "
                         "c.relnamespace WHERE p.pubname = $1"),
            {wanted.name}));
    Publication publication{.same_options = options.GetBool(0, 1), .tables = {}};
    for (int row = 0; row < members.rows(); ++row) {
        TableName name{members.Get(row, 0), members.Get(row, 1)};
        if (members.GetBool(row, 2) && wanted.tables.contains(name)) {
            return FilteredError(wanted.name, Quoted(name));
        }
        publication.tables.insert(std::move(name));
    }
    return publication;
}

TableNames Missing(const TableNames& from, const TableNames& in) {
    TableNames missing;
    std::set_difference(from.begin(), from.end(), in.begin(), in.end(),
                        std::inserter(missing, missing.end()));
    return missing;
}

/// In sets of at most kTablesAtOnce.
std::vector<TableNames> Pieces(const TableNames& tables) {
    std::vector<TableNames> pieces;
    for (const TableName& table : tables) {
        if (pieces.empty() || pieces.back().size() == kTablesAtOnce) {
            pieces.emplace_back();
        }
        pieces.back().insert(table);
    }
    return pieces;
}

absl::Status Plan(base::PqConnection& session, const Wanted& wanted, std::vector<std::string>& statements,
                  std::vector<std::string>& drops) {
    ASSIGN_OR_RETURN(const std::optional<Publication> present, ReadPublication(session, wanted));
    const std::string name = base::QuoteIdentifier(wanted.name);
    const std::string options = OptionsClause(wanted, session.server_version());
    if (!present) {
        const std::vector<TableNames> pieces = Pieces(wanted.tables);
        const std::string tables = pieces.empty() ? "" : base::Concat("FOR ", TableClause(pieces.front()), " ");
        statements.push_back(base::Concat("CREATE PUBLICATION ", name, " ", tables, "WITH ", options));
        for (size_t i = 1; i < pieces.size(); ++i) {
            statements.push_back(base::Concat("ALTER PUBLICATION ", name, " ADD ", TableClause(pieces[i])));
        }
        return absl::OkStatus();
    }
    if (!present->same_options) {
        statements.push_back(base::Concat("ALTER PUBLICATION ", name, " SET ", options));
    }
    for (const TableNames& surplus : Pieces(Missing(present->tables, wanted.tables))) {
        drops.push_back(base::Concat("ALTER PUBLICATION ", name, " DROP ", TableClause(surplus)));
    }
    for (const TableNames& lacking : Pieces(Missing(wanted.tables, present->tables))) {
        statements.push_back(base::Concat("ALTER PUBLICATION ", name, " ADD ", TableClause(lacking)));
    }
    return absl::OkStatus();
}

absl::Status RunTogether(base::PqConnection& session, const std::vector<std::string>& statements) {
    RETURN_IF_ERROR(session.Execute("BEGIN").status());
    // Waits for DDL and vacuum on the tables, but not without end.
    absl::Status status = session.Execute("SET LOCAL lock_timeout = '10s'").status();
    for (const std::string& statement : statements) {
        if (status.ok()) {
            status = session.Execute(statement).status();
        }
    }
    if (status.ok()) {
        return session.Execute("COMMIT").status();
    }
    session.Execute("ROLLBACK").status().IgnoreError();
    return status;
}

// One after the other where together they would take too many locks. What an interruption leaves undone is done by the
// next plan.
absl::Status RunAll(base::PqConnection& session, const std::vector<std::string>& statements) {
    if (statements.size() <= kStatementsAtOnce) {
        return RunTogether(session, statements);
    }
    for (const std::string& statement : statements) {
        RETURN_IF_ERROR(RunTogether(session, {statement}));
    }
    return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<std::string>> PlanPublications(base::PqConnection& session,
                                                          const ObjectNames& names,
                                                          const std::vector<sdk::SourceTable>& tables) {
    Wanted keyed{.name = names.publication,
                 .publish = "insert, update, delete, truncate",
                 .updates = true,
                 .tables = {}};
    // Updates of these would fail in the customer's own statements if they were published.
    Wanted append{
        .name = names.append_publication, .publish = "insert, truncate", .updates = false, .tables = {}};
    for (const sdk::SourceTable& table : tables) {
        (table.key.empty() ? append : keyed).tables.emplace(table.schema, table.table);
    }
    std::vector<std::string> statements;
    // Last, so that a table that moves from one publication to the other is never in none.
    std::vector<std::string> drops;
    RETURN_IF_ERROR(Plan(session, keyed, statements, drops));
    RETURN_IF_ERROR(Plan(session, append, statements, drops));
    statements.insert(statements.end(), drops.begin(), drops.end());
    return statements;
}

absl::Status PreparePublications(base::PqConnection& session, const ObjectNames& names,
                                 const std::vector<sdk::SourceTable>& tables) {
    ASSIGN_OR_RETURN(const std::vector<std::string> statements, PlanPublications(session, names, tables));
    if (statements.empty()) {
        return absl::OkStatus();
    }
    const absl::Status status = RunAll(session, statements);
    if (status.code() == absl::StatusCode::kPermissionDenied) {
        return base::MakeError(
            absl::StatusCode::kPermissionDenied, "PUB_CREATE_RIGHT",
            base::Concat("the role may not make publication ", names.publication, ": ", status.message()),
            base::Concat("As the owner of the tables or a superuser run: ", absl::StrJoin(statements, "; "),
                         ";"));
    }
    if (!status.ok()) {
        return base::Annotate(status, base::Concat("preparing publication ", names.publication));
    }
    base::LogInfo("publications changed",
                  {{"publication", names.publication}, {"statements", statements.size()}});
    return absl::OkStatus();
}

absl::Status ReadStreamEntries(base::PqConnection& session, const ObjectNames& names,
                               std::vector<sdk::SourceTable>& tables) {
    // A table that is taken out and put back gets a new entry, a publication whose options are changed a new row version.
    ASSIGN_OR_RETURN(
        const base::PqResult result,
        session.ExecuteParams(
            base::Concat("SELECT r.prrelid, p.pubname = $1, hashtextextended(concat_ws(':', r.oid, p.oid, p.xmin), 0) "
                         "FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid "
                         "WHERE p.pubname IN ($1, $2) AND p.pubinsert AND p.pubtruncate "
                         "AND p.pubupdate = (p.pubname = $1) AND p.pubdelete = (p.pubname = $1)",
                         session.server_version() >= 130000 ? " AND p.pubviaroot" : ""),
            {names.publication, names.append_publication}));
    std::map<std::pair<uint64_t, bool>, uint64_t> entries;
    for (int row = 0; row < result.rows(); ++row) {
        entries[{static_cast<uint64_t>(result.GetInt(row, 0)), result.GetBool(row, 1)}] =
            static_cast<uint64_t>(result.GetInt(row, 2)) | 1U;
    }
    for (sdk::SourceTable& table : tables) {
        const auto found = entries.find({table.id, !table.key.empty()});
        table.stream_entry = found == entries.end() ? 0 : found->second;
    }
    return absl::OkStatus();
}

absl::Status DropPublications(base::PqConnection& session, const ObjectNames& names) {
    ASSIGN_OR_RETURN(
        const base::PqResult result,
        session.ExecuteParams("SELECT pubname, pg_has_role(pubowner, 'USAGE') FROM pg_publication WHERE "
                              "pubname = ANY ($1::text[])",
                              {ArrayLiteral({names.publication, names.append_publication})}));
    for (int row = 0; row < result.rows(); ++row) {
        if (!result.GetBool(row, 1)) {
            base::LogInfo("publication belongs to another role and stays",
                          {{"publication", result.Get(row, 0)}});
            continue;
        }
        RETURN_IF_ERROR(session
                            .Execute(base::Concat("DROP PUBLICATION IF EXISTS ",
                                                  base::QuoteIdentifier(result.Get(row, 0))))
                            .status());
    }
    return absl::OkStatus();
}

}  // namespace millrace::postgres
