/// The CLI's commands; each prints to stdout (progress to stderr) and returns an error that main prints.
/// Not for: arguments (main).
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "control-plane/cli/client.h"
#include "control-plane/cli/connector_form.h"

namespace millrace::cli {

/// What every command needs to name resources.
struct Scope final {
    std::string tenant = "default";
    std::string data_plane = "default";

    [[nodiscard]] std::string TenantName() const { return "tenants/" + tenant; }
    [[nodiscard]] std::string PlaneName() const { return TenantName() + "/dataPlanes/" + data_plane; }
    [[nodiscard]] std::string ConnectorName(const std::string& id) const {
        return TenantName() + "/connectors/" + id;
    }
    [[nodiscard]] std::string PipelineName(const std::string& id) const {
        return TenantName() + "/pipelines/" + id;
    }
};

struct ReplicateArguments final {
    ConnectorInput source{.role = "source"};
    ConnectorInput destination{.role = "destination"};
    std::vector<std::string> tables;
    std::vector<std::string> exclude;
    /// "schema.table" → name of the unique index that is its key.
    std::map<std::string, std::string> keys;
    /// "native" or "debezium-json".
    std::string codec = "native";
    std::string name;
    std::chrono::seconds timeout{3600};
    bool no_wait = false;
};

absl::Status Replicate(Client& client, const Scope& scope, const ReplicateArguments& arguments);

struct ApplyArguments final {
    std::string file;
    bool dry_run = false;
    bool update_secrets = false;
};

absl::Status Apply(Client& client, const Scope& scope, const ApplyArguments& arguments);

absl::Status CreateConnector(Client& client, const Scope& scope, const std::string& id,
                             const ConnectorInput& input);
absl::Status ListConnectors(Client& client, const Scope& scope, const std::string& output);
absl::Status DescribeConnector(Client& client, const Scope& scope, const std::string& id);
absl::Status DeleteConnector(Client& client, const Scope& scope, const std::string& id);

/// Of "native" or "debezium-json".
v1::PipelineSpec::Codec CodecOf(const std::string& name);

struct PipelineInput final {
    std::string source;
    std::string destination;
    std::vector<std::string> tables;
    std::vector<std::string> exclude;
    std::map<std::string, std::string> keys;
    /// "native" or "debezium-json".
    std::string codec = "native";
};

absl::Status CreatePipeline(Client& client, const Scope& scope, const std::string& id,
                            const PipelineInput& input);
absl::Status ListPipelines(Client& client, const Scope& scope, const std::string& output);
absl::Status DescribePipeline(Client& client, const Scope& scope, const std::string& id);
absl::Status DeployPipeline(Client& client, const Scope& scope, const std::string& id, bool check_only);
absl::Status PausePipeline(Client& client, const Scope& scope, const std::string& id);
absl::Status ResumePipeline(Client& client, const Scope& scope, const std::string& id);
/// FailedPrecondition (CONFIRM) unless `confirm`.
absl::Status ResyncPipeline(Client& client, const Scope& scope, const std::string& id, bool confirm);
/// Waits until the data plane has removed slot, publications and topics, unless `no_wait`.
absl::Status DeletePipeline(Client& client, const Scope& scope, const std::string& id, bool force,
                            bool no_wait);

/// `id` empty: every pipeline.
absl::Status ShowStatus(Client& client, const Scope& scope, const std::string& id, const std::string& output,
                        bool watch);

/// Waits for the outcome and prints it.
absl::Status ReplayDeadLetters(Client& client, const Scope& scope, const std::string& id,
                               const std::string& table);

/// The tables of a pipeline alone.
absl::Status ListTables(Client& client, const Scope& scope, const std::string& id, const std::string& output);
/// `verb`: "pause", "resume" or "resync"; `table`: "schema.table".
absl::Status OrderTable(Client& client, const Scope& scope, const std::string& verb, const std::string& id,
                        const std::string& table);
/// Shows what the table is held at; passes over it only when `offsets` ("FIRST-LAST") repeats that range.
absl::Status SkipTable(Client& client, const Scope& scope, const std::string& id, const std::string& table,
                       const std::string& offsets);
/// Drops the columns that pend, or those of `columns` ("a,b"), at the destination.
absl::Status ConfirmDrop(Client& client, const Scope& scope, const std::string& id, const std::string& table,
                         const std::string& columns);
/// What is read of rows that existed before; `watch`: again every second, for ever.
absl::Status ListBackfills(Client& client, const Scope& scope, const std::string& id, const std::string& output, bool watch);
/// All rows, where neither a condition nor keys are given.
struct BackfillChoice final {
    std::string where;
    /// Cells with commas between them.
    std::vector<std::string> keys;
    std::optional<int> priority;
};
absl::Status StartBackfill(Client& client, const Scope& scope, const std::string& id, const std::string& table,
                           const BackfillChoice& choice);
/// `verb`: "pause", "resume" or "cancel".
absl::Status OrderBackfill(Client& client, const Scope& scope, const std::string& verb, const std::string& id,
                           const std::string& table);
/// The last 100 events; `follow`: and every new one, for ever.
absl::Status ShowEvents(Client& client, const Scope& scope, const std::string& id, const std::string& output,
                        bool follow);

/// `goal`: "caught-up", "live" or "paused". DeadlineExceeded says what is still missing.
absl::Status WaitFor(Client& client, const Scope& scope, const std::string& id, const std::string& goal,
                     std::chrono::seconds timeout, bool show_progress);

/// The plane once it has a public key (a worker has connected); its key pinned, and shown on first use.
absl::StatusOr<v1::DataPlane> PlaneForSealing(Client& client, const Scope& scope);

}  // namespace millrace::cli
