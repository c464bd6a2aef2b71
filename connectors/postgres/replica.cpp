#include "connectors/postgres/replica.h"

#include <memory>
#include <string>
#include <thread>

#include "base/status.h"
#include "base/text.h"
#include "connectors/postgres/lsn.h"
#include "connectors/postgres/options.h"
#include "connectors/postgres/session.h"

namespace millrace::postgres {
namespace {

constexpr std::chrono::milliseconds kReplayInterval{20};
constexpr const char* kIdentityQuery = "SELECT system_identifier, pg_is_in_recovery() FROM pg_control_system()";

absl::Status Check(const base::PqParameters& primary, const base::PqParameters& replica) {
    ASSIGN_OR_RETURN(const std::unique_ptr<base::PqConnection> first, ConnectSession(primary));
    ASSIGN_OR_RETURN(const std::unique_ptr<base::PqConnection> second, ConnectSession(replica));
    return CheckReplica(*first, *second);
}

}  // namespace

std::optional<base::PqParameters> ReplicaParameters(const sdk::Options& options) {
    const std::string host = options.String("replica_host");
    if (host.empty()) {
        return std::nullopt;
    }
    base::PqParameters parameters = ConnectionParameters(options);
    parameters.keywords["host"] = host;
    if (const std::string port = options.String("replica_port"); !port.empty()) {
        parameters.keywords["port"] = port;
    }
    return parameters;
}

absl::Status CheckReplica(base::PqConnection& primary, base::PqConnection& replica) {
    ASSIGN_OR_RETURN(const base::PqResult ours, primary.Execute(kIdentityQuery));
    ASSIGN_OR_RETURN(const base::PqResult its, replica.Execute(kIdentityQuery));
    const bool same = ours.Get(0, 0) == its.Get(0, 0);
    if (same && its.GetBool(0, 1)) {
        return absl::OkStatus();
    }
    return base::MakeError(absl::StatusCode::kFailedPrecondition, "REPLICA_OTHER",
                           same ? "the server that replica_host names is no replica: it accepts writes"
                                : "the server that replica_host names is a replica of another one",
                           "Name a streaming replica of the source's server, or leave replica_host out.");
}

absl::Status AwaitReplay(base::PqConnection& replica, uint64_t position, std::chrono::milliseconds patience) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    const std::string query = base::Concat("SELECT pg_is_in_recovery() AND pg_last_wal_replay_lsn() >= '",
                                           FormatLsn(position), "'::pg_lsn");
    while (true) {
        ASSIGN_OR_RETURN(const base::PqResult result, replica.Execute(query));
        if (result.GetBool(0, 0)) {
            return absl::OkStatus();
        }
        if (std::chrono::steady_clock::now() > deadline) {
            return base::MakeError(absl::StatusCode::kUnavailable, "REPLICA_BEHIND",
                                   base::Concat("the replica has not replayed the log up to ", FormatLsn(position)),
                                   "It is tried again by itself; see whether the replica follows its primary.");
        }
        std::this_thread::sleep_for(kReplayInterval);
    }
}

sdk::Finding ReplicaFinding(const base::PqParameters& primary, const base::PqParameters& replica) {
    const std::string& host = replica.keywords.at("host");
    if (const absl::Status checked = Check(primary, replica); !checked.ok()) {
        return sdk::FindingFromStatus(checked, host);
    }
    return {.code = "REPLICA",
            .severity = sdk::Severity::kOk,
            .message = "rows that existed before can be read from the replica",
            .remedy = {},
            .subject = host};
}

}  // namespace millrace::postgres
