#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/status.h"
#include "control-plane/api/errors.h"
#include "control-plane/api/grpc_fixture.h"

namespace millrace::api {
namespace {

using testing::HasSubstr;
using State = v1::PipelineStatus;

using CommandTest = LinkTest;

TEST_F(CommandTest, CriticalFindingsRefuseTheDeploymentAndTravelWithTheError) {
    const auto worker = Worker({}, [](const v1::Command&) -> std::optional<v1::CommandResult> {
        v1::CommandResult result;
        result.add_findings()->set_severity(v1::Finding::SEVERITY_OK);
        auto* finding = result.add_findings();
        finding->set_code("WAL_LEVEL");
        finding->set_severity(v1::Finding::SEVERITY_CRITICAL);
        finding->set_message("wal_level is \"replica\" on db.src.");
        finding->set_remedy("Set wal_level = logical und starte neu – größer.");
        return result;
    });
    worker->AwaitSnapshot(0);
    MakeDraft();
    for (const bool validate_only : {true, false}) {
        const auto refused = client_.Deploy("p", validate_only).status();
        EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
        EXPECT_EQ(base::ReasonOf(refused), "WAL_LEVEL");
        EXPECT_EQ(std::string(refused.message()), "wal_level is \"replica\" on db.src.");
        EXPECT_EQ(base::RemedyOf(refused), "Set wal_level = logical und starte neu – größer.");
        v1::CheckConnectorResponse findings;
        ASSERT_TRUE(findings.ParseFromString(client_.Trailer(kFindingsKey)));
        ASSERT_EQ(findings.findings_size(), 2);
        EXPECT_EQ(findings.findings(0).code(), "WAL_LEVEL");
        EXPECT_THAT(client_.last_status().error_details(), HasSubstr("google.rpc.ErrorInfo"));
    }
    EXPECT_EQ(client_.GetPipeline("p")->status().state(), State::STATE_DRAFT);
    EXPECT_EQ(worker->snapshots(), 1U);
}

TEST_F(CommandTest, ManyLongFindingsStillFitTheMetadata) {
    const auto worker = Worker({}, [](const v1::Command&) -> std::optional<v1::CommandResult> {
        v1::CommandResult result;
        for (int i = 0; i < 200; ++i) {
            auto* finding = result.add_findings();
            finding->set_code("TABLE_" + std::to_string(i));
            finding->set_severity(v1::Finding::SEVERITY_CRITICAL);
            finding->set_message("Table größer_" + std::to_string(i) + " cannot be read " +
                                 std::string(100, 'x'));
            finding->set_remedy("GRANT SELECT ON größer_" + std::to_string(i) + " TO millrace");
        }
        return result;
    });
    worker->AwaitSnapshot(0);
    MakeDraft();
    const auto refused = client_.Deploy("p").status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition) << refused;
    EXPECT_EQ(base::ReasonOf(refused), "TABLE_0");
    v1::CheckConnectorResponse findings;
    ASSERT_TRUE(findings.ParseFromString(client_.Trailer(kFindingsKey)));
    EXPECT_GT(findings.findings_size(), 5);
}

TEST_F(CommandTest, WithoutAWorkerNothingIsDeployed) {
    auto worker = Worker();
    worker->AwaitSnapshot(0);
    MakeDraft();
    worker.reset();
    absl::Status refused;
    for (int i = 0; i < 200; ++i) {
        refused = client_.Deploy("p", true).status();
        if (base::ReasonOf(refused) == "NO_WORKER") {
            break;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(base::ReasonOf(refused), "NO_WORKER");
    EXPECT_THAT(base::RemedyOf(refused), HasSubstr("millrace-worker"));
    EXPECT_EQ(client_.GetPipeline("p")->status().state(), State::STATE_DRAFT);
}

TEST_F(CommandTest, CommandsGoToTheWorkerAndItsErrorsComeBack) {
    std::atomic<bool> fail = false;
    const auto worker = Worker({}, [&](const v1::Command& command) -> std::optional<v1::CommandResult> {
        EXPECT_GT(command.deadline_ms(), 0);
        if (!fail) {
            return AllIsWell(command);
        }
        v1::CommandResult result;
        result.set_code(static_cast<int>(absl::StatusCode::kNotFound));
        result.set_reason("DATABASE_MISSING");
        result.set_message("There is no database shop.");
        result.set_remedy("Create it.");
        return result;
    });
    worker->AwaitSnapshot(0);
    MakeDraft();
    v1::MarkSourcePositionRequest mark;
    mark.set_name(PipelineName("p"));
    const auto draft = client_.Call(*client_.pipelines, &v1::PipelineService::Stub::MarkSourcePosition, mark);
    EXPECT_EQ(base::ReasonOf(draft.status()), "NOT_DEPLOYED");
    ASSERT_TRUE(client_.Deploy("p").ok());
    const auto marked =
        client_.Call(*client_.pipelines, &v1::PipelineService::Stub::MarkSourcePosition, mark);
    ASSERT_TRUE(marked.ok()) << marked.status();
    EXPECT_EQ(marked->position(), "0/10");
    v1::GetCaughtUpRequest caught_up;
    caught_up.set_name(PipelineName("p"));
    caught_up.set_position("0/10");
    EXPECT_TRUE(
        client_.Call(*client_.pipelines, &v1::PipelineService::Stub::GetCaughtUp, caught_up)->caught_up());
    v1::ListSourceTablesRequest list;
    list.set_name(ConnectorName("src"));
    EXPECT_EQ(
        client_.Call(*client_.connectors, &v1::ConnectorService::Stub::ListSourceTables, list)->tables_size(),
        1);
    v1::CheckConnectorRequest check;
    check.set_parent(kTenant);
    check.mutable_spec()->set_type("postgres");
    check.mutable_spec()->set_data_plane(kPlane);
    (*check.mutable_spec()->mutable_options())["host"] = "db";
    EXPECT_EQ(client_.Call(*client_.connectors, &v1::ConnectorService::Stub::CheckConnector, check)
                  ->findings_size(),
              1);
    fail = true;
    const auto failed =
        client_.Call(*client_.connectors, &v1::ConnectorService::Stub::ListSourceTables, list).status();
    EXPECT_EQ(failed.code(), absl::StatusCode::kNotFound);
    EXPECT_EQ(base::ReasonOf(failed), "DATABASE_MISSING");
    EXPECT_EQ(std::string(failed.message()), "There is no database shop.");
    EXPECT_EQ(base::RemedyOf(failed), "Create it.");
}

TEST_F(CommandTest, ACommandEndsWithTheWorkersLinkOrItsDeadline) {
    std::atomic<int> asked = 0;
    const auto worker = Worker({}, [&](const v1::Command&) -> std::optional<v1::CommandResult> {
        ++asked;
        return std::nullopt;
    });
    worker->AwaitSnapshot(0);
    MakeDraft();
    v1::ListSourceTablesRequest list;
    list.set_name(ConnectorName("src"));
    EXPECT_EQ(client_
                  .Call(*client_.connectors, &v1::ConnectorService::Stub::ListSourceTables, list,
                        std::chrono::milliseconds(500))
                  .status()
                  .code(),
              absl::StatusCode::kDeadlineExceeded);
    std::thread cut([&] {
        while (asked < 2) {
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
        worker->Disconnect();
    });
    const auto broken =
        client_.Call(*client_.connectors, &v1::ConnectorService::Stub::ListSourceTables, list).status();
    cut.join();
    EXPECT_EQ(broken.code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(base::ReasonOf(broken), "NO_WORKER");
}

}  // namespace
}  // namespace millrace::api
