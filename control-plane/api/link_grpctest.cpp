#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "control-plane/api/errors.h"
#include "control-plane/api/grpc_fixture.h"

namespace millrace::api {
namespace {

using testing::HasSubstr;
using State = v1::PipelineStatus;

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

TEST_F(LinkTest, AVerbOfATableIsToBeTriedAgainUntilAWorkerHasToldItsTables) {
    const auto worker = Worker();
    worker->AwaitSnapshot(0);
    MakeDraft();
    ASSERT_TRUE(client_.Deploy("p").ok());
    v1::PausePipelineTableRequest pause;
    pause.set_name(PipelineName("p"));
    pause.set_schema("public");
    pause.set_table("orders");
    const auto early = client_.Call(*client_.pipelines, &v1::PipelineService::Stub::PausePipelineTable, pause);
    EXPECT_EQ(early.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(base::ReasonOf(early.status()), "TABLES_NOT_TOLD");
    worker->SendFacts(LiveFacts("p", "w1"));
    client_.AwaitState("p", State::STATE_LIVE);
    const auto paused = client_.Call(*client_.pipelines, &v1::PipelineService::Stub::PausePipelineTable, pause);
    ASSERT_TRUE(paused.ok()) << paused.status();
    ASSERT_EQ(paused->spec().table_overrides_size(), 1);
    EXPECT_TRUE(paused->spec().table_overrides(0).paused());
    pause.set_table("no_such");
    EXPECT_EQ(base::ReasonOf(client_.Call(*client_.pipelines, &v1::PipelineService::Stub::PausePipelineTable, pause).status()), "TABLE_UNKNOWN");
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
