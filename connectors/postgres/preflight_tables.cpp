#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_join.h"
#include "base/text.h"
#include "connectors/postgres/preflight_checks.h"
#include "connectors/postgres/publication.h"
#include "connectors/postgres/table_list.h"

namespace millrace::postgres {
namespace {

using sdk::Severity;

constexpr size_t kNamesInMessage = 10;

using Names = std::vector<std::string>;

std::string Shortened(const Names& names) {
    const size_t shown = std::min(names.size(), kNamesInMessage);
    std::string text = absl::StrJoin(names.begin(), names.begin() + static_cast<ptrdiff_t>(shown), ", ");
    if (shown < names.size()) {
        base::Append(text, " and ", names.size() - shown, " more");
    }
    return text;
}

std::string Quoted(const sdk::SourceTable& table) {
    return base::Concat(base::QuoteIdentifier(table.schema), ".", base::QuoteIdentifier(table.table));
}

bool IsLiteral(const std::string& glob) {
    return glob.find_first_of("*?") == std::string::npos;
}

// Relations that exist under exactly these names but are no tables of their own: glob → what it is.
absl::StatusOr<base::PqResult> ReadOtherKinds(base::PqConnection& session, const Names& names) {
    return session.ExecuteParams(R"(
SELECT n.nspname || '.' || c.relname,
       CASE WHEN c.relispartition THEN 'a partition; select its root' WHEN c.relkind = 'v' THEN 'a view'
            WHEN c.relkind = 'm' THEN 'a materialized view' WHEN c.relkind = 'f' THEN 'a foreign table'
            WHEN c.relkind = 'S' THEN 'a sequence' WHEN c.relpersistence = 't' THEN 'a temporary table'
            ELSE 'no table of a user' END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname || '.' || c.relname = ANY ($1::text[]))",
                                 {ArrayLiteral(names)});
}

class TableChecks final {
 public:
    TableChecks(base::PqConnection& session, const sdk::TableSelection& selection, sdk::Findings& findings)
        : session_(session), selection_(selection), findings_(findings) {}

    void Run(const ObjectNames& names, const std::vector<ListedTable>& all) {
        for (const ListedTable& listed : all) {
            if (selection_.Selects(listed.table.schema, listed.table.table)) {
                (listed.unlogged       ? unlogged_
                 : !listed.has_columns ? empty_
                                       : selected_)
                    .push_back(listed);
            }
        }
        CheckGlobs(all);
        CheckUnlogged();
        CheckEmpty();
        CheckChosenKeys();
        if (selected_.empty()) {
            return;
        }
        CheckGrants();
        CheckRowSecurity();
        CheckKeys();
        CheckPublications(names);
    }

 private:
    void CheckGlobs(const std::vector<ListedTable>& all);
    void AddMissing(const Names& missing);
    void CheckUnlogged();
    void CheckEmpty();
    void CheckChosenKeys();
    void CheckGrants();
    void CheckRowSecurity();
    void CheckKeys();
    void CheckPublications(const ObjectNames& names);
    std::string Role();
    /// The statements that make the index, and those of the partitions under it, the replica identity.
    std::string UseIndex(const ListedTable& listed, const std::string& index);

    base::PqConnection& session_;
    const sdk::TableSelection& selection_;
    sdk::Findings& findings_;
    std::vector<ListedTable> selected_;
    std::vector<ListedTable> unlogged_;
    std::vector<ListedTable> empty_;
};

std::string TableChecks::Role() {
    const absl::StatusOr<base::PqResult> role = session_.Execute("SELECT current_user");
    return role.ok() ? base::QuoteIdentifier(role->Get(0, 0)) : "the_role";
}

void TableChecks::CheckGlobs(const std::vector<ListedTable>& all) {
    Names missing;
    for (const std::string& glob : selection_.tables) {
        const sdk::TableSelection alone{.tables = {glob}, .exclude = {}};
        if (std::any_of(all.begin(), all.end(), [&](const ListedTable& listed) {
                return alone.Selects(listed.table.schema, listed.table.table);
            })) {
            continue;
        }
        if (IsLiteral(glob)) {
            missing.push_back(glob);
            continue;
        }
        AddFinding(findings_, "TBL_MISSING", Severity::kCritical, base::Concat("no table matches ", glob),
                   "Correct the pattern; it is compared with schema.table, and * stands for any characters.",
                   glob);
    }
    AddMissing(missing);
    if (!selected_.empty()) {
        AddOk(findings_, "TBL_MISSING",
              base::Concat(selected_.size(),
                           selected_.size() == 1 ? " table is selected" : " tables are selected"));
    } else if (unlogged_.empty() && empty_.empty() && !sdk::HasCritical(findings_)) {
        AddFinding(findings_, "TBL_MISSING", Severity::kCritical, "the selection leaves no table",
                   "Select at least one table, or exclude fewer.");
    }
}

void TableChecks::AddMissing(const Names& missing) {
    if (missing.empty()) {
        return;
    }
    std::set<std::string, std::less<>> found;
    const absl::StatusOr<base::PqResult> others = ReadOtherKinds(session_, missing);
    for (int row = 0; others.ok() && row < others->rows(); ++row) {
        const std::string name(others->Get(row, 0));
        found.insert(name);
        AddFinding(findings_, "TBL_KIND", Severity::kCritical,
                   base::Concat(name, " cannot be replicated: it is ", others->Get(row, 1)),
                   "Take it out of the selection.", name);
    }
    for (const std::string& name : missing) {
        if (!found.contains(name)) {
            AddFinding(
                findings_, "TBL_MISSING", Severity::kCritical,
                base::Concat("table ", name, " does not exist"),
                "Correct the name (schema.table, in the case it was created with), or create the table.",
                name);
        }
    }
}

void TableChecks::CheckUnlogged() {
    for (const ListedTable& listed : unlogged_) {
        const std::string name = listed.table.DisplayName();
        const bool named =
            std::find(selection_.tables.begin(), selection_.tables.end(), name) != selection_.tables.end();
        AddFinding(
            findings_, "TBL_KIND", named || selected_.empty() ? Severity::kCritical : Severity::kWarning,
            base::Concat(name, " is not replicated: an unlogged table leaves no changes in the log"),
            base::Concat("Run ALTER TABLE ", Quoted(listed.table), " SET LOGGED; or exclude it."), name);
    }
}

void TableChecks::CheckEmpty() {
    for (const ListedTable& listed : empty_) {
        const std::string name = listed.table.DisplayName();
        const bool named =
            std::find(selection_.tables.begin(), selection_.tables.end(), name) != selection_.tables.end();
        AddFinding(findings_, "TBL_KIND",
                   named || (selected_.empty() && unlogged_.empty()) ? Severity::kCritical : Severity::kInfo,
                   base::Concat(name, " has no columns that are sent, so there is nothing to replicate"),
                   "Exclude it, or give it a column: it is replicated as soon as it has one.", name);
    }
}

std::string TableChecks::UseIndex(const ListedTable& listed, const std::string& index) {
    const absl::StatusOr<base::PqResult> statements = session_.ExecuteParams(R"(
WITH RECURSIVE tree(relid) AS (
    SELECT i.indexrelid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $1::oid AND c.relname = $2
    UNION ALL
    SELECT h.inhrelid FROM tree JOIN pg_inherits h ON h.inhparent = tree.relid
)
SELECT string_agg(format('ALTER TABLE %I.%I REPLICA IDENTITY USING INDEX %I;', n.nspname, t.relname, c.relname), ' '
                  ORDER BY t.relispartition, n.nspname, t.relname)
FROM tree JOIN pg_index i ON i.indexrelid = tree.relid JOIN pg_class c ON c.oid = tree.relid
     JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace)",
                                                                             {base::Concat(listed.oid), index});
    return statements.ok() ? std::string(statements->Get(0, 0)) : "";
}

void TableChecks::CheckChosenKeys() {
    for (const auto& [name, index] : selection_.keys) {
        const auto found = std::find_if(selected_.begin(), selected_.end(), [&](const ListedTable& listed) {
            return listed.table.DisplayName() == name;
        });
        if (found == selected_.end()) {
            AddFinding(findings_, "KEY_UNUSABLE", Severity::kCritical,
                       base::Concat("a key is chosen for ", name, ", which is no selected table"),
                       "Correct the name (schema.table), or leave the key out.", name);
            continue;
        }
        if (found->key_index_problem.empty()) {
            continue;
        }
        const bool identity = found->key_index_problem == "is not the replica identity";
        AddFinding(findings_, "KEY_UNUSABLE", Severity::kCritical,
                   base::Concat(index, " cannot be the key of ", name, ": it ", found->key_index_problem),
                   identity ? base::Concat("Run ", UseIndex(*found, index),
                                           " (REPLICA IDENTITY FULL will do, too, and costs more log.)")
                            : "Choose a unique index over columns that are NOT NULL and sent.",
                   name);
    }
}

void TableChecks::CheckGrants() {
    std::set<std::string> schemas;
    Names tables;
    Names quoted;
    for (const ListedTable& listed : selected_) {
        if (!listed.may_use_schema) {
            schemas.insert(listed.table.schema);
        }
        if (!listed.may_select) {
            tables.push_back(listed.table.DisplayName());
            quoted.push_back(Quoted(listed.table));
        }
    }
    if (!schemas.empty()) {
        const std::string names = absl::StrJoin(
            schemas, ", ",
            [](std::string* out, const std::string& schema) { out->append(base::QuoteIdentifier(schema)); });
        AddFinding(findings_, "SCHEMA_USAGE", Severity::kCritical,
                   base::Concat("the role may not use schema ", absl::StrJoin(schemas, ", ")),
                   base::Concat("Run GRANT USAGE ON SCHEMA ", names, " TO ", Role(), ";"));
    } else {
        AddOk(findings_, "SCHEMA_USAGE", "the role may use the schemas of all selected tables");
    }
    if (!tables.empty()) {
        AddFinding(findings_, "TBL_SELECT", Severity::kCritical,
                   base::Concat("the role may not read ", Shortened(tables)),
                   base::Concat("Run GRANT SELECT ON ", absl::StrJoin(quoted, ", "), " TO ", Role(), ";"));
    } else {
        AddOk(findings_, "TBL_SELECT", "the role may read all selected tables");
    }
}

void TableChecks::CheckRowSecurity() {
    Names tables;
    for (const ListedTable& listed : selected_) {
        if (listed.row_security) {
            tables.push_back(listed.table.DisplayName());
        }
    }
    if (tables.empty()) {
        AddOk(findings_, "RLS_ON", "no row security policy hides rows from the role");
        return;
    }
    AddFinding(findings_, "RLS_ON", Severity::kCritical,
               base::Concat("row security policies would hide rows of ", Shortened(tables), " from the copy"),
               base::Concat("Run ALTER ROLE ", Role(), " BYPASSRLS; or exclude these tables."));
}

void TableChecks::CheckKeys() {
    Names tables;
    Names statements;
    for (const ListedTable& listed : selected_) {
        if (!listed.table.key.empty()) {
            continue;
        }
        tables.push_back(listed.table.DisplayName());
        if (!listed.unique_index.empty() && statements.size() < kNamesInMessage) {
            statements.push_back(UseIndex(listed, listed.unique_index));
        }
    }
    if (tables.empty()) {
        AddOk(findings_, "TBL_KEYLESS", "every selected table has a key");
        return;
    }
    std::string remedy = "Give them a primary key if their rows change.";
    if (!statements.empty()) {
        base::Append(remedy, " Or let a unique index identify them: ", absl::StrJoin(statements, " "));
    }
    AddFinding(findings_, "TBL_KEYLESS", Severity::kInfo,
               base::Concat("without a usable key only inserts are replicated, not updates and deletes: ",
                            Shortened(tables)),
               std::move(remedy));
}

void TableChecks::CheckPublications(const ObjectNames& names) {
    const absl::StatusOr<std::vector<std::string>> plan =
        PlanPublications(session_, names, SelectTables(selected_, selection_));
    if (!plan.ok()) {
        findings_.push_back(sdk::FindingFromStatus(plan.status(), names.publication));
        return;
    }
    const absl::StatusOr<base::PqResult> rights = session_.ExecuteParams(
        "SELECT has_database_privilege(current_database(), 'CREATE'), count(*) FILTER (WHERE NOT "
        "pg_has_role(pubowner, "
        "'USAGE')) FROM pg_publication WHERE pubname = ANY ($1::text[])",
        {ArrayLiteral({names.publication, names.append_publication})});
    if (!rights.ok()) {
        findings_.push_back(sdk::FindingFromStatus(rights.status(), names.publication));
        return;
    }
    Names strangers;
    for (const ListedTable& listed : selected_) {
        if (!listed.owned) {
            strangers.push_back(listed.table.DisplayName());
        }
    }
    std::string lacking;
    if (!strangers.empty()) {
        lacking = base::Concat("it does not own ", Shortened(strangers));
    } else if (!rights->GetBool(0, 0)) {
        lacking = "it lacks CREATE on the database";
    } else if (rights->GetInt(0, 1) > 0) {
        lacking = "the publication belongs to another role";
    }
    if (plan->empty() || lacking.empty()) {
        AddOk(findings_, "PUB_CREATE_RIGHT",
              plan->empty() ? "the publications hold the selected tables"
                            : "the role may make the publications",
              names.publication);
        return;
    }
    AddFinding(
        findings_, "PUB_CREATE_RIGHT", Severity::kCritical,
        base::Concat("the role may not publish the selected tables: ", lacking),
        base::Concat("As the owner of the tables or a superuser run: ", absl::StrJoin(*plan, "; "), ";"),
        names.publication);
}

}  // namespace

void CheckTables(base::PqConnection& session, const ObjectNames& names, const sdk::TableSelection& selection,
                 sdk::Findings& findings) {
    const absl::StatusOr<std::vector<ListedTable>> all = ListAllTables(session, selection.keys);
    if (!all.ok()) {
        findings.push_back(sdk::FindingFromStatus(all.status()));
        return;
    }
    TableChecks(session, selection, findings).Run(names, *all);
}

}  // namespace millrace::postgres
