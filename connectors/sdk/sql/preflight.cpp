#include "connectors/sdk/sql/preflight.h"

#include "base/status.h"
#include "base/text.h"
#include "connectors/sdk/sql/checkpoint_table.h"

namespace millrace::sql {
namespace {

using sdk::Finding;
using sdk::Findings;
using sdk::Severity;

absl::Status Probe(SqlSession& session, const Dialect& dialect, const sdk::StreamId& stream) {
    const sdk::TableTarget probe{"_millrace_probe_" + stream.pipeline_uid.substr(0, 32), "probe"};
    const std::string table = dialect.Qualified(probe);
    RETURN_IF_ERROR(session.Begin());
    for (const std::string& statement :
         {base::Concat("CREATE SCHEMA ", dialect.QuoteIdentifier(probe.schema)),
          base::Concat("CREATE TABLE ", table, " (id INTEGER)"),
          base::Concat("INSERT INTO ", table, " VALUES (1)"), base::Concat("DELETE FROM ", table),
          base::Concat("DROP TABLE ", table)}) {
        RETURN_IF_ERROR(session.Execute(statement).status());
    }
    return absl::OkStatus();
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
    const absl::Status probed = Probe(session, dialect, stream);
    session.Rollback();
    if (probed.ok()) {
        findings.push_back({.code = "DST_WRITE",
                            .severity = Severity::kOk,
                            .message = "schemas and tables can be made and written",
                            .remedy = {},
                            .subject = {}});
    } else {
        Finding finding = sdk::FindingFromStatus(probed, dialect.product());
        finding.code = "DST_WRITE";
        findings.push_back(std::move(finding));
    }
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
    return CheckpointTable(session, dialect).Remove(pipeline_uid);
}

}  // namespace millrace::sql
