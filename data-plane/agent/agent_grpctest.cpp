#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <thread>

#include "data-plane/agent/link_fixture.h"

namespace millrace::agent {
namespace {

using testing::FakeControl;
using testing::Worker;

class LinkTest : public ::testing::Test {
 protected:
    LinkTest() { toy_.tables = {{"public", "orders", 10, 100, {"id"}}, {"public", "audit", 1, 10, {}}}; }
    ~LinkTest() override {
        worker_.reset();
        control_.Shutdown();
        std::filesystem::remove_all(folder_);
    }

    void StartWorker(const std::string& token = "plane-token") {
        worker_ = std::make_unique<Worker>(control_.endpoint(), folder_, toy_, token);
    }
    void StartAndWelcome() {
        StartWorker();
        ASSERT_TRUE(control_.Await(v1::ConnectRequest::kHello));
        control_.Welcome();
    }

    static v1::PipelineConfig Pipeline(const std::string& id, int64_t generation = 1) {
        v1::PipelineConfig proto;
        proto.set_name("tenants/default/pipelines/" + id);
        proto.set_pipeline_id(id);
        proto.set_uid("uid-" + id);
        proto.set_generation(generation);
        proto.mutable_spec()->set_desired_state(v1::PipelineSpec::DESIRED_STATE_RUNNING);
        proto.mutable_spec()->add_tables("public.*");
        proto.mutable_source()->set_type("toy");
        (*proto.mutable_source()->mutable_options())["host"] = "db";
        proto.mutable_destination()->set_type("sink");
        return proto;
    }
    void Push(const std::string& epoch, int64_t generation,
              const std::vector<v1::PipelineConfig>& pipelines) {
        v1::ConnectResponse message;
        v1::ConfigSnapshot& snapshot = *message.mutable_snapshot();
        snapshot.set_epoch(epoch);
        snapshot.set_generation(generation);
        snapshot.set_nonce(epoch + "-" + std::to_string(generation));
        for (const v1::PipelineConfig& pipeline : pipelines) {
            *snapshot.add_pipelines() = pipeline;
        }
        control_.Say(message);
    }
    std::map<std::string, int64_t> Running() {
        std::map<std::string, int64_t> running;
        for (const auto& facts : worker_->supervisor().Facts()) {
            running[facts.name.substr(facts.name.rfind('/') + 1)] = facts.generation;
        }
        return running;
    }
    v1::CommandResult Run(v1::Command command) {
        command.set_id("c1");
        command.set_deadline_ms(20'000);
        v1::ConnectResponse message;
        *message.mutable_command() = command;
        control_.Say(message);
        const auto answer = control_.Await(v1::ConnectRequest::kCommandResult);
        EXPECT_TRUE(answer);
        EXPECT_EQ(answer->command_result().id(), "c1");
        return answer ? answer->command_result() : v1::CommandResult();
    }

    const std::filesystem::path folder_ =
        std::filesystem::temp_directory_path() / ("millrace-link-" + RandomHex());
    testing::ToyServer toy_;
    FakeControl control_;
    std::unique_ptr<Worker> worker_;
};

TEST_F(LinkTest, HelloSaysWhoTheWorkerIs) {
    StartWorker();
    const auto hello = control_.Await(v1::ConnectRequest::kHello);
    ASSERT_TRUE(hello);
    EXPECT_EQ(hello->hello().data_plane(), "tenants/default/dataPlanes/default");
    EXPECT_EQ(hello->hello().worker_id(), "w1");
    EXPECT_EQ(hello->hello().role(), "all");
    EXPECT_EQ(hello->hello().public_key_pem(), worker_->keys().public_pem);
    ASSERT_EQ(hello->hello().descriptors_size(), 2);
    EXPECT_EQ(hello->hello().descriptors(1).type(), "toy");
    EXPECT_EQ(hello->hello().descriptors(1).options(0).name(), "host");
    EXPECT_TRUE(hello->hello().descriptors(1).options(0).required());
    EXPECT_FALSE(worker_->agent().Readiness().empty());
}

TEST_F(LinkTest, ASnapshotIsAppliedAcknowledgedAndReported) {
    StartAndWelcome();
    Push("e", 1, {Pipeline("shop")});
    const auto ack = control_.Await(v1::ConnectRequest::kAck);
    ASSERT_TRUE(ack);
    EXPECT_EQ(ack->ack().nonce(), "e-1");
    EXPECT_EQ(ack->ack().generation(), 1);
    EXPECT_EQ(Running(), (std::map<std::string, int64_t>{{"shop", 1}}));
    EXPECT_EQ(worker_->agent().Readiness(), "");
    const auto facts = control_.Await(
        [](const v1::ConnectRequest& message) { return message.facts().pipelines_size() == 1; });
    ASSERT_TRUE(facts);
    EXPECT_EQ(facts->facts().pipelines(0).name(), "tenants/default/pipelines/shop");
    EXPECT_GT(facts->facts().time().seconds(), 0);
}

TEST_F(LinkTest, ABadPipelineIsRefusedAndTheOthersRun) {
    StartAndWelcome();
    Push("e", 1, {Pipeline("a"), Pipeline("b")});
    ASSERT_TRUE(control_.Await(v1::ConnectRequest::kAck));
    v1::PipelineConfig bad = Pipeline("a", 2);
    (*bad.mutable_source()->mutable_options())["hots"] = "x";
    Push("e", 2, {bad, Pipeline("b", 2), Pipeline("c", 2)});
    const auto nack = control_.Await(v1::ConnectRequest::kNack);
    ASSERT_TRUE(nack);
    EXPECT_EQ(nack->nack().nonce(), "e-2");
    ASSERT_EQ(nack->nack().rejected_size(), 1);
    EXPECT_EQ(nack->nack().rejected(0).resource(), "tenants/default/pipelines/a");
    EXPECT_EQ(nack->nack().rejected(0).reason(), "OPTION_UNKNOWN");
    EXPECT_THAT(nack->nack().rejected(0).message(), ::testing::HasSubstr("host"));
    EXPECT_EQ(Running(), (std::map<std::string, int64_t>{{"a", 1}, {"b", 2}, {"c", 2}}))
        << "the refused one keeps what it ran with";
}

TEST_F(LinkTest, AnOlderGenerationIsRefusedUnlessTheEpochIsNew) {
    StartAndWelcome();
    Push("e", 5, {Pipeline("a", 5)});
    ASSERT_TRUE(control_.Await(v1::ConnectRequest::kAck));
    Push("e", 4, {});
    const auto nack = control_.Await(v1::ConnectRequest::kNack);
    ASSERT_TRUE(nack);
    EXPECT_EQ(nack->nack().rejected(0).reason(), "GENERATION_BACKWARDS");
    EXPECT_EQ(Running().size(), 1u);
    Push("restored", 1, {});
    const auto ack = control_.Await(v1::ConnectRequest::kAck);
    ASSERT_TRUE(ack);
    EXPECT_EQ(ack->ack().epoch(), "restored");
    EXPECT_TRUE(Running().empty());
}

TEST_F(LinkTest, TheWorkerRunsItsLastGoodConfigurationWithoutAControlPlane) {
    StartAndWelcome();
    v1::PipelineConfig sealed = Pipeline("shop", 3);
    sealed.mutable_source()->set_sealed_secrets(
        *base::Seal(base::Secret(R"({"password":"hunter2"})"), worker_->keys().public_pem));
    Push("e", 3, {sealed});
    ASSERT_TRUE(control_.Await(v1::ConnectRequest::kAck));
    worker_.reset();
    control_.Shutdown();

    StartWorker();
    EXPECT_EQ(Running(), (std::map<std::string, int64_t>{{"shop", 3}}));
    EXPECT_EQ(worker_->agent().Readiness(), "");
    std::ifstream file(folder_ / "last-good");
    const std::string stored((std::istreambuf_iterator<char>(file)), {});
    EXPECT_THAT(stored, ::testing::HasSubstr("shop"));
    EXPECT_THAT(stored, ::testing::Not(::testing::HasSubstr("hunter2")));

    control_.Listen();
    const auto hello = control_.Await(v1::ConnectRequest::kHello);
    ASSERT_TRUE(hello);
    EXPECT_EQ(hello->hello().applied_epoch(), "e");
    EXPECT_EQ(hello->hello().applied_generation(), 3);
}

TEST_F(LinkTest, ItComesBackWhenTheControlPlaneDoes) {
    StartAndWelcome();
    ASSERT_TRUE(control_.Await(v1::ConnectRequest::kFacts));
    control_.Shutdown();
    control_.Listen();
    ASSERT_TRUE(control_.Await(v1::ConnectRequest::kHello));
    control_.Welcome();
    EXPECT_TRUE(control_.Await(v1::ConnectRequest::kFacts));
}

TEST_F(LinkTest, ARefusedWorkerGoesOnTrying) {
    control_.Refuse({grpc::StatusCode::ABORTED, "SUPERSEDED"});
    StartWorker();
    ASSERT_TRUE(control_.AwaitRefusals(2));
    control_.Refuse(grpc::Status::OK);
    EXPECT_TRUE(control_.Await(v1::ConnectRequest::kHello));
}

TEST_F(LinkTest, AWrongTokenIsNoReasonToEnd) {
    StartWorker("wrong");
    while (worker_->metrics().find("millrace_link_connects_total 3") == std::string::npos) {
        std::this_thread::yield();
    }
    EXPECT_THAT(worker_->metrics(), ::testing::HasSubstr("millrace_link_up 0"));
}

TEST_F(LinkTest, ADeletedPipelineIsReportedRemovedUntilItIsNamedNoMore) {
    StartAndWelcome();
    v1::PipelineConfig deleted = Pipeline("shop", 2);
    deleted.mutable_spec()->set_desired_state(v1::PipelineSpec::DESIRED_STATE_DELETED);
    Push("e", 2, {deleted});
    const auto ack = control_.Await(v1::ConnectRequest::kAck);
    ASSERT_TRUE(ack);
    EXPECT_THAT(ack->ack().removed(), ::testing::ElementsAre("tenants/default/pipelines/shop"));
    for (int i = 0; i < 2; ++i) {
        const auto facts = control_.Await(v1::ConnectRequest::kFacts);
        ASSERT_TRUE(facts);
        ASSERT_EQ(facts->facts().pipelines_size(), 1);
        EXPECT_TRUE(facts->facts().pipelines(0).removed());
    }
    Push("e", 3, {});
    ASSERT_TRUE(control_.Await(v1::ConnectRequest::kAck));
    const auto facts = control_.Await(v1::ConnectRequest::kFacts);
    ASSERT_TRUE(facts);
    EXPECT_EQ(facts->facts().pipelines_size(), 0);
}

TEST_F(LinkTest, CommandsAreAnswered) {
    StartAndWelcome();
    toy_.position = 0x100000010;
    v1::Command list;
    list.mutable_list_tables()->mutable_connector()->set_type("toy");
    (*list.mutable_list_tables()->mutable_connector()->mutable_options())["host"] = "db";
    list.mutable_list_tables()->add_exclude("*.audit");
    const v1::CommandResult tables = Run(list);
    EXPECT_EQ(tables.code(), 0);
    ASSERT_EQ(tables.tables_size(), 1);
    EXPECT_EQ(tables.tables(0).table(), "orders");
    EXPECT_EQ(tables.tables(0).key(0), "id");

    v1::Command mark;
    *mark.mutable_mark_position()->mutable_pipeline() = Pipeline("shop");
    EXPECT_EQ(Run(mark).position(), "1/10");
    EXPECT_EQ(toy_.heartbeats, 1);

    v1::Command check;
    check.mutable_check()->mutable_connector()->set_type("toy");
    check.mutable_check()->set_as_source(true);
    const v1::CommandResult missing = Run(check);
    EXPECT_EQ(missing.code(), 0);
    ASSERT_EQ(missing.findings_size(), 1);
    EXPECT_EQ(missing.findings(0).code(), "OPTION_MISSING");
    EXPECT_EQ(missing.findings(0).severity(), v1::Finding::SEVERITY_CRITICAL);
    EXPECT_THAT(missing.findings(0).message(), ::testing::HasSubstr("host"));

    EXPECT_EQ(Run(v1::Command()).reason(), "COMMAND_UNKNOWN");
}

TEST_F(LinkTest, AnAnswerComesAfterFactsThatAreAsNew) {
    StartWorker();
    ASSERT_TRUE(control_.Await(v1::ConnectRequest::kHello));
    control_.Welcome(60'000);
    ASSERT_TRUE(control_.Await(v1::ConnectRequest::kFacts));
    Push("e", 1, {Pipeline("shop")});
    ASSERT_TRUE(control_.Await(v1::ConnectRequest::kAck));
    v1::ConnectResponse asked;
    *asked.mutable_command()->mutable_mark_position()->mutable_pipeline() = Pipeline("shop");
    control_.Say(asked);
    const auto next = control_.Await([](const v1::ConnectRequest&) { return true; });
    ASSERT_TRUE(next);
    ASSERT_TRUE(next->has_facts());
    EXPECT_EQ(next->facts().pipelines_size(), 1);
    EXPECT_TRUE(control_.Await(v1::ConnectRequest::kCommandResult));
}

TEST_F(LinkTest, ErrorsOfCommandsCarryCodeReasonAndRemedy) {
    StartAndWelcome();
    toy_.reachable = false;
    v1::Command mark;
    *mark.mutable_mark_position()->mutable_pipeline() = Pipeline("shop");
    const v1::CommandResult result = Run(mark);
    EXPECT_EQ(result.code(), static_cast<int>(absl::StatusCode::kUnavailable));
    EXPECT_EQ(result.reason(), "NET_TCP");
    EXPECT_THAT(result.message(), ::testing::HasSubstr("Start it."));
}

TEST_F(LinkTest, CheckPipelineMergesSourceDestinationAndKafka) {
    StartAndWelcome();
    v1::Command check;
    *check.mutable_check_pipeline()->mutable_pipeline() = Pipeline("shop");
    const v1::CommandResult result = Run(check);
    std::map<std::string, v1::Finding> findings;
    for (const v1::Finding& finding : result.findings()) {
        findings[finding.code()] = finding;
    }
    EXPECT_EQ(findings["KAFKA_UNREACHABLE"].severity(), v1::Finding::SEVERITY_CRITICAL);
    EXPECT_EQ(findings["TOY_CONNECT"].severity(), v1::Finding::SEVERITY_OK);
    EXPECT_EQ(findings["TOY_WRITE"].message(), "2 tables can be written");
}

TEST_F(LinkTest, StoppingSaysGoodbye) {
    StartAndWelcome();
    ASSERT_TRUE(control_.Await(v1::ConnectRequest::kFacts));
    worker_->agent().Stop("the worker shuts down");
    const auto goodbye = control_.Await(v1::ConnectRequest::kGoodbye);
    ASSERT_TRUE(goodbye);
    EXPECT_EQ(goodbye->goodbye().reason(), "the worker shuts down");
}

}  // namespace
}  // namespace millrace::agent
