#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "control-plane/api/errors.h"
#include "control-plane/api/grpc_fixture.h"

namespace millrace::api {
namespace {

using testing::HasSubstr;
using State = v1::PipelineStatus;

/// No critical finding, an answer for every command.
std::optional<v1::CommandResult> AllIsWell(const v1::Command& command) {
    v1::CommandResult result;
    if (command.has_check_pipeline() || command.has_check()) {
        auto* finding = result.add_findings();
        finding->set_code("WAL_LEVEL");
        finding->set_severity(v1::Finding::SEVERITY_OK);
        finding->set_message("wal_level is logical.");
    }
    if (command.has_list_tables()) {
        result.add_tables()->set_table("orders");
    }
    result.set_position(command.has_mark_position() ? "0/10" : "");
    result.set_caught_up(command.has_caught_up() && command.caught_up().position() == "0/10");
    return result;
}

class LinkTest : public testing::Test {
 protected:
    LinkTest() : client_(control_.Connect()) {}

    std::unique_ptr<FakeWorker> Worker(FakeWorker::Options options = {},
                                       FakeWorker::Answer answer = AllIsWell) {
        auto worker = std::make_unique<FakeWorker>(control_.Connect(), options, std::move(answer));
        return worker;
    }

    /// Connectors src and dst and a draft p; a worker must have connected.
    void MakeDraft() {
        ASSERT_TRUE(client_.CreateConnector("src", "postgres").ok());
        ASSERT_TRUE(client_.CreateConnector("dst", "postgres").ok());
        const auto pipeline = client_.CreatePipeline("p");
        ASSERT_TRUE(pipeline.ok()) << pipeline.status();
        ASSERT_EQ(pipeline->status().state(), State::STATE_DRAFT);
    }

    ControlPlane control_;
    Client client_;
};

TEST_F(LinkTest, AWorkerIsWelcomedAndItsPlaneKnown) {
    const auto worker = Worker();
    EXPECT_EQ(worker->AwaitWelcome().heartbeat_ms(), 200);
    const auto snapshot = worker->AwaitSnapshot(0);
    EXPECT_EQ(snapshot.pipelines_size(), 0);
    EXPECT_EQ(snapshot.epoch().size(), 36U);
    EXPECT_NE(snapshot.nonce(), "");
    const auto plane = client_.GetPlane();
    ASSERT_TRUE(plane.ok());
    EXPECT_EQ(plane->status().key_fingerprint(), KeyFingerprint());
    EXPECT_EQ(plane->status().descriptors_size(), 1);
    ASSERT_EQ(plane->status().workers_size(), 1);
    EXPECT_TRUE(plane->status().workers(0).connected());
    EXPECT_THAT(control_.metrics().Render(), HasSubstr("millrace_control_sessions 1"));
}

TEST_F(LinkTest, AWorkerNeedsThePlanesTokenAndAPlaneThatExists) {
    FakeWorker::Options options;
    options.token = kApiToken;
    auto worker = Worker(options);
    EXPECT_EQ(worker->AwaitEnd().error_code(), grpc::StatusCode::UNAUTHENTICATED);
    EXPECT_EQ(worker->TrailerOf(kReasonKey), "TOKEN_WRONG");
    options = {};
    options.data_plane = "tenants/default/dataPlanes/other";
    worker = Worker(options);
    EXPECT_EQ(worker->AwaitEnd().error_code(), grpc::StatusCode::NOT_FOUND);
    EXPECT_EQ(worker->TrailerOf(kReasonKey), "PLANE_UNKNOWN");
    options = {};
    options.boot_id = "";
    worker = Worker(options);
    EXPECT_EQ(worker->AwaitEnd().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(LinkTest, ANewerBootOfAWorkerSupersedesTheOlderStream) {
    const auto first = Worker();
    first->AwaitSnapshot(0);
    FakeWorker::Options options;
    options.boot_id = "boot-2";
    const auto second = Worker(options);
    second->AwaitSnapshot(0);
    EXPECT_EQ(first->AwaitEnd().error_code(), grpc::StatusCode::ABORTED);
    EXPECT_EQ(first->TrailerOf(kReasonKey), "SUPERSEDED");
    options.worker_id = "w2";
    const auto other = Worker(options);
    other->AwaitSnapshot(0);
    const auto plane = client_.GetPlane();
    ASSERT_EQ(plane->status().workers_size(), 2);
    EXPECT_TRUE(plane->status().workers(0).connected());
    EXPECT_TRUE(plane->status().workers(1).connected());
}

TEST_F(LinkTest, DeploysPushesAndDerivesStatusFromFacts) {
    FakeWorker::Options options;
    options.acknowledge = false;
    const auto worker = Worker(options);
    EXPECT_EQ(worker->AwaitSnapshot(0).generation(), 0);
    MakeDraft();
    const auto deployed = client_.Deploy("p");
    ASSERT_TRUE(deployed.ok()) << deployed.status();
    EXPECT_EQ(deployed->findings_size(), 1);
    EXPECT_EQ(deployed->pipeline().spec().desired_state(), v1::PipelineSpec::DESIRED_STATE_RUNNING);
    const auto snapshot = worker->AwaitSnapshot(1);
    ASSERT_EQ(snapshot.pipelines_size(), 1);
    const v1::PipelineConfig& config = snapshot.pipelines(0);
    EXPECT_EQ(config.pipeline_id(), "p");
    EXPECT_EQ(config.source().options().at("host"), "db.src");
    EXPECT_EQ(config.destination().options().at("host"), "db.dst");
    EXPECT_EQ(config.generation(), 2);
    EXPECT_NE(config.uid(), "");
    // The drafts made no snapshot.
    EXPECT_EQ(worker->snapshots(), 2U);

    EXPECT_EQ(client_.GetPipeline("p")->status().state(), State::STATE_DEPLOYING);
    worker->Acknowledge(snapshot);
    worker->SendFacts(LiveFacts("p", "w1"));
    const auto live = client_.AwaitState("p", State::STATE_LIVE);
    EXPECT_EQ(live.observed_generation(), 2);
    // The worker falls silent: never the last green.
    EXPECT_EQ(client_.AwaitState("p", State::STATE_UNKNOWN).reason(), "FACTS_STALE");
    worker->Disconnect();
    EXPECT_EQ(client_.AwaitState("p", State::STATE_UNKNOWN).tables(0).state(),
              v1::TableStatus::STATE_UNKNOWN);
}

TEST_F(LinkTest, ARefusedConfigurationBlocksThePipelineUntilItChanges) {
    FakeWorker::Options options;
    options.acknowledge = false;
    const auto worker = Worker(options);
    worker->Acknowledge(worker->AwaitSnapshot(0));
    MakeDraft();
    ASSERT_TRUE(client_.Deploy("p").ok());
    worker->Reject(worker->AwaitSnapshot(1), PipelineName("p"), "SEAL_BROKEN");
    const auto blocked = client_.AwaitState("p", State::STATE_BLOCKED);
    EXPECT_EQ(blocked.reason(), "SEAL_BROKEN");
    EXPECT_EQ(blocked.message(), "It cannot run.");
    v1::UpdateConnectorRequest update;
    update.mutable_connector()->mutable_metadata()->set_name(ConnectorName("src"));
    (*update.mutable_connector()->mutable_spec()->mutable_options())["host"] = "elsewhere";
    ASSERT_TRUE(client_.Call(*client_.connectors, &v1::ConnectorService::Stub::UpdateConnector, update).ok());
    const auto snapshot = worker->AwaitSnapshot(2);
    EXPECT_EQ(snapshot.pipelines(0).source().options().at("host"), "elsewhere");
    EXPECT_EQ(snapshot.pipelines(0).generation(), 3);
    worker->Acknowledge(snapshot);
    worker->SendFacts(LiveFacts("p", "w1"));
    client_.AwaitState("p", State::STATE_LIVE);
}

TEST_F(LinkTest, CriticalFindingsRefuseTheDeploymentAndTravelWithTheError) {
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

TEST_F(LinkTest, ManyLongFindingsStillFitTheMetadata) {
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

TEST_F(LinkTest, WithoutAWorkerNothingIsDeployed) {
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

TEST_F(LinkTest, CommandsGoToTheWorkerAndItsErrorsComeBack) {
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

TEST_F(LinkTest, ACommandEndsWithTheWorkersLinkOrItsDeadline) {
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

TEST_F(LinkTest, PausesResumesAndDeletesThroughTheWorker) {
    FakeWorker::Options options;
    options.acknowledge = false;
    const auto worker = Worker(options);
    worker->AwaitSnapshot(0);
    MakeDraft();
    ASSERT_TRUE(client_.Deploy("p").ok());
    worker->AwaitSnapshot(1);
    v1::PausePipelineRequest pause;
    pause.set_name(PipelineName("p"));
    ASSERT_TRUE(client_.Call(*client_.pipelines, &v1::PipelineService::Stub::PausePipeline, pause).ok());
    auto snapshot = worker->AwaitSnapshot(2);
    EXPECT_EQ(snapshot.pipelines(0).spec().desired_state(), v1::PipelineSpec::DESIRED_STATE_PAUSED);
    worker->Acknowledge(snapshot);
    worker->SendFacts(LiveFacts("p", "w1"));
    client_.AwaitState("p", State::STATE_PAUSED);
    v1::ResumePipelineRequest resume;
    resume.set_name(PipelineName("p"));
    ASSERT_TRUE(client_.Call(*client_.pipelines, &v1::PipelineService::Stub::ResumePipeline, resume).ok());
    worker->AwaitSnapshot(3);

    EXPECT_EQ(client_.Delete("p")->status().state(), State::STATE_DELETING);
    snapshot = worker->AwaitSnapshot(4);
    EXPECT_EQ(snapshot.pipelines(0).spec().desired_state(), v1::PipelineSpec::DESIRED_STATE_DELETED);
    v1::DeleteConnectorRequest delete_source;
    delete_source.set_name(ConnectorName("src"));
    const auto in_use =
        client_.Call(*client_.connectors, &v1::ConnectorService::Stub::DeleteConnector, delete_source);
    EXPECT_EQ(in_use.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(in_use.status().message()), HasSubstr(PipelineName("p")));
    EXPECT_EQ(
        base::ReasonOf(
            client_.Call(*client_.pipelines, &v1::PipelineService::Stub::ResumePipeline, resume).status()),
        "PIPELINE_DELETING");

    // Not yet acknowledged: what the worker calls removed is something older.
    v1::PipelineFacts facts;
    facts.set_name(PipelineName("p"));
    facts.set_removed(true);
    worker->SendFacts(facts);
    worker->Acknowledge(snapshot);
    worker->SendFacts(LiveFacts("p", "w1"));
    EXPECT_EQ(client_.AwaitState("p", State::STATE_DELETING).state(), State::STATE_DELETING);
    worker->SendFacts(facts);
    EXPECT_EQ(worker->AwaitSnapshot(5).pipelines_size(), 0);
    EXPECT_EQ(client_.GetPipeline("p").status().code(), absl::StatusCode::kNotFound);
    EXPECT_TRUE(
        client_.Call(*client_.connectors, &v1::ConnectorService::Stub::DeleteConnector, delete_source).ok());
}

TEST_F(LinkTest, AnAcknowledgementCanNameWhatIsRemovedAndForceAsksNobody) {
    FakeWorker::Options options;
    options.acknowledge = false;
    const auto worker = Worker(options);
    worker->AwaitSnapshot(0);
    MakeDraft();
    ASSERT_TRUE(client_.Deploy("p").ok());
    ASSERT_TRUE(client_.Delete("p").ok());
    worker->Acknowledge(worker->AwaitSnapshot(2), {PipelineName("p")});
    EXPECT_EQ(worker->AwaitSnapshot(3).pipelines_size(), 0);
    ASSERT_TRUE(client_.CreatePipeline("p").ok());
    ASSERT_TRUE(client_.Deploy("p").ok());
    EXPECT_EQ(worker->AwaitSnapshot(4).pipelines_size(), 1);
    ASSERT_TRUE(client_.Delete("p", true).ok());
    EXPECT_EQ(worker->AwaitSnapshot(5).pipelines_size(), 0);
    EXPECT_TRUE(absl::IsNotFound(client_.GetPipeline("p").status()));
    ASSERT_TRUE(client_.CreatePipeline("draft").ok());
    ASSERT_TRUE(client_.Delete("draft").ok());
    EXPECT_TRUE(absl::IsNotFound(client_.GetPipeline("draft").status()));
}

TEST_F(LinkTest, ARestartKeepsResourcesButNotTheirStatus) {
    auto worker = Worker();
    worker->AwaitSnapshot(0);
    MakeDraft();
    ASSERT_TRUE(client_.Deploy("p").ok());
    const auto before = worker->AwaitSnapshot(1);
    worker->SendFacts(LiveFacts("p", "w1"));
    client_.AwaitState("p", State::STATE_LIVE);
    const auto stored = client_.GetPipeline("p");

    control_.Stop();
    EXPECT_EQ(worker->AwaitEnd().error_code(), grpc::StatusCode::UNAVAILABLE);
    control_.Start();
    Client again(control_.Connect());
    const auto pipeline = again.GetPipeline("p");
    ASSERT_TRUE(pipeline.ok()) << pipeline.status();
    EXPECT_EQ(pipeline->metadata().uid(), stored->metadata().uid());
    EXPECT_EQ(pipeline->metadata().etag(), stored->metadata().etag());
    EXPECT_EQ(pipeline->status().state(), State::STATE_UNKNOWN);
    EXPECT_EQ(again.GetPlane()->status().key_fingerprint(), KeyFingerprint());
    FakeWorker::Options options;
    options.applied_epoch = before.epoch();
    options.applied_generation = before.generation();
    worker = Worker(options);
    const auto after = worker->AwaitSnapshot(1);
    EXPECT_EQ(after.epoch(), before.epoch());
    EXPECT_EQ(after.generation(), before.generation());
    worker->SendFacts(LiveFacts("p", "w1"));
    again.AwaitState("p", State::STATE_LIVE);
}

TEST_F(LinkTest, AStoreThatIsOlderThanAWorkerGetsANewEpoch) {
    const std::string epoch = control_.store().Epoch().value();
    FakeWorker::Options options;
    options.applied_epoch = epoch;
    options.applied_generation = 7;
    const auto worker = Worker(options);
    EXPECT_NE(worker->AwaitSnapshot(0).epoch(), epoch);
}

TEST_F(LinkTest, WatchingGivesThePipelineAtOnceAndAtEveryChange) {
    const auto worker = Worker();
    worker->AwaitSnapshot(0);
    MakeDraft();
    grpc::ClientContext context;
    client_.Prepare(context, std::chrono::seconds(20));
    v1::WatchPipelineRequest request;
    request.set_name(PipelineName("p"));
    const auto reader = client_.pipelines->WatchPipeline(&context, request);
    v1::WatchPipelineResponse response;
    ASSERT_TRUE(reader->Read(&response));
    EXPECT_EQ(response.pipeline().status().state(), State::STATE_DRAFT);
    ASSERT_TRUE(client_.Deploy("p").ok());
    ASSERT_TRUE(reader->Read(&response));
    EXPECT_NE(response.pipeline().status().state(), State::STATE_DRAFT);
    ASSERT_TRUE(client_.Delete("p", true).ok());
    while (reader->Read(&response)) {
    }
    EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::NOT_FOUND);
}

}  // namespace
}  // namespace millrace::api
