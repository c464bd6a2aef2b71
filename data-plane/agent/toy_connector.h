/// A connector for tests of this folder: a source and destination that hold everything in memory. Not for:
/// production.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "connectors/sdk/connector.h"

namespace millrace::agent::testing {

/// The server that toy sources and destinations speak to.
struct ToyServer final {
    std::vector<sdk::SourceTable> tables;
    std::atomic<uint64_t> position{0};
    std::atomic<int> heartbeats{0};
    std::atomic<bool> reachable{true};
};

class ToySource final : public sdk::Source {
 public:
    explicit ToySource(ToyServer& server) : server_(server) {}

    sdk::Findings Preflight(const sdk::TableSelection& selection) override {
        if (!server_.reachable) {
            return {sdk::FindingFromStatus(Unreachable())};
        }
        sdk::Findings findings{{"TOY_CONNECT", sdk::Severity::kOk, "the toy server answers", "", ""}};
        const bool any =
            std::any_of(server_.tables.begin(), server_.tables.end(),
                        [&](const sdk::SourceTable& t) { return selection.Selects(t.schema, t.table); });
        if (!any) {
            findings.push_back(
                {"TABLES_NONE", sdk::Severity::kCritical, "no table is selected", "Name others.", ""});
        }
        return findings;
    }
    absl::StatusOr<std::vector<sdk::SourceTable>> ListTables(const sdk::TableSelection& selection) override {
        if (!server_.reachable) {
            return Unreachable();
        }
        std::vector<sdk::SourceTable> selected;
        for (const sdk::SourceTable& table : server_.tables) {
            if (selection.Selects(table.schema, table.table)) {
                selected.push_back(table);
            }
        }
        return selected;
    }
    absl::StatusOr<std::vector<std::vector<std::string>>> ListColumns(
        const std::vector<sdk::SourceTable>& tables) override {
        return std::vector<std::vector<std::string>>(tables.size(), {"id"});
    }
    absl::StatusOr<sdk::SourceIdentity> Identify() override { return sdk::SourceIdentity{"toy", 1}; }
    absl::Status Prepare(const std::vector<sdk::SourceTable>&) override { return absl::OkStatus(); }
    absl::StatusOr<bool> HasSlot() override { return true; }
    absl::StatusOr<uint64_t> BeginCopy(bool, std::chrono::milliseconds) override { return server_.position.load(); }
    absl::StatusOr<sdk::SchemaPtr> Describe(const sdk::SourceTable& table) override {
        auto schema = std::make_shared<sdk::TableSchema>();
        schema->schema = table.schema;
        schema->table = table.table;
        return schema;
    }
    absl::StatusOr<int64_t> CopyTable(const sdk::SourceTable&, uint64_t, sdk::ChangeHandler&) override {
        return 0;
    }
    absl::Status EndCopy() override { return absl::OkStatus(); }
    absl::Status Start(uint64_t) override { return absl::OkStatus(); }
    absl::StatusOr<int> Poll(sdk::ChangeHandler&, std::chrono::milliseconds, int) override { return 0; }
    void Acknowledge(uint64_t) override {}
    absl::Status SendFeedback(bool) override { return absl::OkStatus(); }
    absl::StatusOr<uint64_t> CurrentPosition() override {
        if (!server_.reachable) {
            return Unreachable();
        }
        return server_.position.load();
    }
    absl::Status Heartbeat() override {
        ++server_.heartbeats;
        server_.position += 8;
        return absl::OkStatus();
    }
    absl::StatusOr<sdk::RetainedLog> Retained() override { return sdk::RetainedLog{}; }
    absl::Status Remove() override { return absl::OkStatus(); }

 private:
    static absl::Status Unreachable() {
        return base::MakeError(absl::StatusCode::kUnavailable, "NET_TCP", "the toy server does not answer",
                               "Start it.");
    }

    ToyServer& server_;
};

class ToyDestination final : public sdk::Destination {
 public:
    sdk::Findings Preflight(const sdk::StreamId&, const std::vector<sdk::TableTarget>& tables) override {
        return {{"TOY_WRITE", sdk::Severity::kOk, std::to_string(tables.size()) + " tables can be written",
                 "", ""}};
    }
    absl::StatusOr<std::unique_ptr<sdk::TableWriter>> OpenTable(const sdk::TableTarget& target,
                                                                const sdk::StreamId&) override {
        return base::MakeError(absl::StatusCode::kUnimplemented, "TOY",
                               "the toy stores nothing: " + target.table);
    }
    [[nodiscard]] sdk::FlushDefaults flush_defaults() const override { return {}; }
    absl::Status Remove(const std::string&) override { return absl::OkStatus(); }
};

/// Type "toy": options host (required), port (integer, default 7), password (secret). `server` outlives the
/// registry.
inline void RegisterToy(ToyServer& server, sdk::ConnectorRegistry& registry) {
    sdk::Connector toy;
    toy.type = "toy";
    toy.display_name = "Toy";
    toy.url_schemes = {"toy"};
    sdk::OptionSpec host;
    host.name = "host";
    host.required = true;
    host.url_part = sdk::OptionSpec::UrlPart::kHost;
    sdk::OptionSpec port;
    port.name = "port";
    port.kind = sdk::OptionSpec::Kind::kInteger;
    port.default_value = "7";
    sdk::OptionSpec password;
    password.name = "password";
    password.secret = true;
    toy.options = {host, port, password};
    toy.make_source = [&server](const sdk::Options&,
                                const std::string&) -> absl::StatusOr<std::unique_ptr<sdk::Source>> {
        return std::make_unique<ToySource>(server);
    };
    toy.make_destination = [](const sdk::Options&) -> absl::StatusOr<std::unique_ptr<sdk::Destination>> {
        return std::make_unique<ToyDestination>();
    };
    registry.Add(std::move(toy)).IgnoreError();
    sdk::Connector sink;
    sink.type = "sink";
    sink.make_destination = [](const sdk::Options&) -> absl::StatusOr<std::unique_ptr<sdk::Destination>> {
        return std::make_unique<ToyDestination>();
    };
    registry.Add(std::move(sink)).IgnoreError();
}

}  // namespace millrace::agent::testing
