#include "connectors/sdk/sql/preflight.h"

#include <set>

#include "base/status.h"
#include "base/text.h"
#include "connectors/sdk/sql/checkpoint_table.h"
#include "connectors/sdk/sql/column_table.h"
#include "connectors/sdk/sql/seen_keys.h"
#include "connectors/sdk/sql/dead_letter_table.h"

namespace millrace::sql {
namespace {

using sdk::Finding;
using sdk::Findings;
using sdk::Severity;

absl::Status RunAll(SqlSession& session, const std::vector<std::string>& statements) {
    for (const std::string& statement : statements) {
        RETURN_IF_ERROR(session.Execute(statement).status());
    }
    return absl::OkStatus();
}

// In a transaction that the caller rolls back.
absl::Status ProbeSchema(SqlSession& session, const Dialect& dialect, const std::string& schema) {
    RETURN_IF_ERROR(session.Begin());
    if (const std::string lock = dialect.DdlLock(); !lock.empty()) {
        RETURN_IF_ERROR(session.Execute(lock).status());
    }
    ASSIGN_OR_RETURN(const bool exists, session.SchemaExists(schema));
    if (!exists) {
        RETURN_IF_ERROR(
            session.Execute(base::Concat("CREATE SCHEMA ", dialect.QuoteIdentifier(schema))).status());
    }
    const std::string probe = dialect.Qualified({schema, "_millrace_probe"});
    return RunAll(session, {base::Concat("CREATE TABLE ", probe, " (id INTEGER)"),
                            base::Concat("INSERT INTO ", probe, " VALUES (1)"),
                            base::Concat("DELETE FROM ", probe), base::Concat("DROP TABLE ", probe)});
}

absl::Status ProbeCheckpoints(SqlSession& session, const Dialect& dialect) {
    ASSIGN_OR_RETURN(const bool exists, CheckpointTable(session, dialect).Exists());
    ASSIGN_OR_RETURN(const auto letters, session.Describe({std::string(CheckpointTable::kSchema),
                                                           std::string(DeadLetterTable::kTable)}));
    if (!exists || !letters) {
        return ProbeSchema(session, dialect, std::string(CheckpointTable::kSchema));
    }
    RETURN_IF_ERROR(session.Begin());
    const std::string table =
        dialect.Qualified({std::string(CheckpointTable::kSchema), std::string(CheckpointTable::kTable)});
    return RunAll(session, {base::Concat("UPDATE ", table, " SET epoch = epoch WHERE pipeline_uid = ''"),
                            base::Concat("DELETE FROM ", table, " WHERE pipeline_uid = ''")});
}

Finding WriteFinding(const absl::Status& probed, const std::string& schema) {
    if (probed.ok()) {
        return {.code = "DST_WRITE",
                .severity = Severity::kOk,
                .message = base::Concat("tables can be made and written in schema ", schema),
                .remedy = {},
                .subject = schema};
    }
    Finding finding = sdk::FindingFromStatus(probed, schema);
    finding.code = "DST_WRITE";
    finding.message =
        base::Concat("tables cannot be made or written in schema ", schema, ": ", finding.message);
    return finding;
}

void CheckSchemas(SqlSession& session, const Dialect& dialect, const std::vector<sdk::TableTarget>& tables,
                  Findings& findings) {
    std::set<std::string> schemas;
    for (const sdk::TableTarget& target : tables) {
        schemas.insert(target.schema);
    }
    for (const std::string& schema : schemas) {
        const absl::Status probed = ProbeSchema(session, dialect, schema);
        session.Rollback();
        findings.push_back(WriteFinding(probed, schema));
    }
    const absl::Status probed = ProbeCheckpoints(session, dialect);
    session.Rollback();
    findings.push_back(WriteFinding(probed, std::string(CheckpointTable::kSchema)));
}

absl::StatusOr<bool> HoldsStrangeRows(SqlSession& session, const Dialect& dialect,
                                      const sdk::StreamId& stream, const sdk::TableTarget& target,
                                      bool checkpoints_exist) {
    ASSIGN_OR_RETURN(const auto shape, session.Describe(target));
    if (!shape) {
        return false;
    }
    if (checkpoints_exist) {
        ASSIGN_OR_RETURN(const bool ours,
                         CheckpointTable(session, dialect).Covers(stream.pipeline_uid, target));
        if (ours) {
            return false;
        }
    }
    ASSIGN_OR_RETURN(const auto rows,
                     session.Query(base::Concat("SELECT 1 FROM ", dialect.Qualified(target), " LIMIT 1")));
    return !rows.empty();
}

Finding NotEmpty(const Dialect& dialect, const sdk::TableTarget& target) {
    return {
        .code = "DST_NOT_EMPTY",
        .severity = Severity::kCritical,
        .message = base::Concat("table ", target.DisplayName(), " exists in the destination and holds rows"),
        .remedy = base::Concat("Empty it (TRUNCATE ", dialect.Qualified(target),
                               "), drop it, or choose another database."),
        .subject = target.DisplayName()};
}

}  // namespace

Findings CheckDestination(SqlSession& session, const Dialect& dialect, const sdk::StreamId& stream,
                          const std::vector<sdk::TableTarget>& tables) {
    Findings findings;
    CheckSchemas(session, dialect, tables, findings);
    const absl::StatusOr<bool> checkpoints = CheckpointTable(session, dialect).Exists();
    if (!checkpoints.ok()) {
        findings.push_back(sdk::FindingFromStatus(checkpoints.status(), "_millrace.checkpoints"));
        return findings;
    }
    bool all_empty = true;
    for (const sdk::TableTarget& target : tables) {
        const absl::StatusOr<bool> strange = HoldsStrangeRows(session, dialect, stream, target, *checkpoints);
        if (!strange.ok()) {
            findings.push_back(sdk::FindingFromStatus(strange.status(), target.DisplayName()));
        } else if (*strange) {
            findings.push_back(NotEmpty(dialect, target));
        }
        all_empty = all_empty && strange.ok() && !*strange;
    }
    if (all_empty) {
        findings.push_back({.code = "DST_EMPTY",
                            .severity = Severity::kOk,
                            .message = "no table of the pipeline holds rows of anybody else",
                            .remedy = {},
                            .subject = {}});
    }
    return findings;
}

absl::Status RemoveCheckpoints(SqlSession& session, const Dialect& dialect, const std::string& pipeline_uid) {
    const sdk::StreamId any;
    RETURN_IF_ERROR(ColumnTable(session, dialect, any).RemovePipeline(pipeline_uid));
    ASSIGN_OR_RETURN(const std::vector<std::string> topics, CheckpointTable(session, dialect).Topics(pipeline_uid));
    for (const std::string& topic : topics) {
        const sdk::StreamId stream{.pipeline = {}, .pipeline_uid = pipeline_uid, .topic = topic};
        RETURN_IF_ERROR(SeenKeys(session, dialect, stream).Drop());
    }
    return CheckpointTable(session, dialect).Remove(pipeline_uid);
}

}  // namespace millrace::sql
