#include "connectors/postgres/destination.h"

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "base/text.h"
#include "connectors/postgres/dialect.h"
#include "connectors/postgres/options.h"
#include "connectors/postgres/session.h"
#include "connectors/postgres/session_pool.h"
#include "connectors/sdk/sql/merge_writer.h"
#include "connectors/sdk/sql/preflight.h"

namespace millrace::postgres {
namespace {

class PostgresDestination final : public sdk::Destination {
 public:
    PostgresDestination(base::PqParameters parameters, size_t connections)
        : sessions_(std::move(parameters), connections) {}

    sdk::Findings Preflight(const sdk::StreamId& stream,
                            const std::vector<sdk::TableTarget>& tables) override {
        const auto session = sessions_.Acquire();
        if (!session.ok()) {
            return {sdk::FindingFromStatus(session.status(), "destination")};
        }
        sdk::Findings findings = {{.code = "DST_CONNECT",
                                   .severity = sdk::Severity::kOk,
                                   .message = "the destination accepts our connection",
                                   .remedy = {},
                                   .subject = "destination"}};
        sdk::Findings checks = sql::CheckDestination(**session, dialect_, stream, tables);
        std::move(checks.begin(), checks.end(), std::back_inserter(findings));
        return findings;
    }

    absl::StatusOr<std::string> Place() override {
        ASSIGN_OR_RETURN(const sql::SessionLease session, sessions_.Acquire());
        ASSIGN_OR_RETURN(const auto rows, session->Query(std::string(kPlaceSql)));
        return rows.at(0).at(0).value_or("");
    }

    absl::StatusOr<std::unique_ptr<sdk::TableWriter>> OpenTable(const sdk::TableTarget& target,
                                                                const sdk::StreamId& stream) override {
        return std::make_unique<sql::MergeWriter>(sessions_, dialect_, target, stream);
    }

    [[nodiscard]] sdk::FlushDefaults flush_defaults() const override { return {}; }

    absl::Status Remove(const std::string& pipeline_uid) override {
        ASSIGN_OR_RETURN(const sql::SessionLease session, sessions_.Acquire());
        return sql::RemoveCheckpoints(*session, dialect_, pipeline_uid);
    }

 private:
    const PostgresDialect dialect_;
    SessionPool sessions_;
};

}  // namespace

std::vector<sdk::OptionSpec> DestinationOptions() {
    return {{.name = "max_connections",
             .kind = sdk::OptionSpec::Kind::kInteger,
             .default_value = "4",
             .documentation = "As a destination: how many connections a pipeline may hold at a time.",
             .choices = {}}};
}

absl::StatusOr<std::unique_ptr<sdk::Destination>> MakeDestination(const sdk::Options& options) {
    const int64_t connections = options.Integer("max_connections");
    if (connections < 1 || connections > 100) {
        return base::MakeError(absl::StatusCode::kInvalidArgument, "OPTION_INVALID",
                               base::Concat("max_connections is ", connections),
                               "Give a number from 1 to 100.");
    }
    return std::make_unique<PostgresDestination>(ConnectionParameters(options),
                                                 static_cast<size_t>(connections));
}

}  // namespace millrace::postgres
