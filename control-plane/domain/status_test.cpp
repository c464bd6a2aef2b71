#include "control-plane/domain/status.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

namespace millrace::domain {
namespace {

using testing::HasSubstr;
using Status = v1::PipelineStatus;

const absl::Time kNow = absl::FromUnixSeconds(1'000'000);

v1::PipelineFacts Facts(const std::string& text) {
    v1::PipelineFacts facts;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &facts)) << text;
    return facts;
}

constexpr char kStreaming[] = "publisher { state: STATE_STREAMING worker_id: 'w1' tables_total: 1 }";
constexpr char kLive[] = R"(
    publisher { state: STATE_STREAMING worker_id: 'w1' tables_total: 1 }
    tables { schema: 'public' table: 'orders' state: STATE_LIVE worker_id: 'w1' rows_applied: 7 })";

class StatusTest : public testing::Test {
 protected:
    StatusTest() {
        pipeline_.mutable_metadata()->set_name("tenants/t/pipelines/p");
        pipeline_.mutable_spec()->set_desired_state(v1::PipelineSpec::DESIRED_STATE_RUNNING);
        pipeline_.mutable_metadata()->set_generation(2);
    }

    WorkerReport& Add(const std::string& id, const std::string& facts,
                      absl::Duration age = absl::ZeroDuration()) {
        WorkerReport worker;
        worker.worker_id = id;
        worker.role = "all";
        worker.connected = true;
        worker.acked_generation = 2;
        worker.acked_at = kNow - absl::Minutes(5);
        if (!facts.empty()) {
            worker.facts = Facts(facts);
            worker.facts_at = kNow - age;
        }
        return workers_.emplace_back(std::move(worker));
    }

    void SetDesired(v1::PipelineSpec::DesiredState state) {
        pipeline_.mutable_spec()->set_desired_state(state);
    }

    Status Derive() { return DeriveStatus({pipeline_, workers_, kNow, absl::Seconds(1)}); }

    v1::Pipeline pipeline_;
    std::vector<WorkerReport> workers_;
};

TEST_F(StatusTest, ADraftIsADraftWhateverWorkersSay) {
    SetDesired(v1::PipelineSpec::DESIRED_STATE_DRAFT);
    Add("w1", kLive);
    EXPECT_EQ(Derive().state(), Status::STATE_DRAFT);
    EXPECT_EQ(Derive().tables_size(), 0);
}

TEST_F(StatusTest, LiveWhenEveryTableIs) {
    Add("w1", kLive);
    const Status status = Derive();
    EXPECT_EQ(status.state(), Status::STATE_LIVE);
    EXPECT_EQ(status.message(), "");
    EXPECT_EQ(status.observed_generation(), 2);
    EXPECT_EQ(status.publisher().worker_id(), "w1");
    ASSERT_EQ(status.tables_size(), 1);
    EXPECT_EQ(status.tables(0).rows_applied(), 7);
    EXPECT_EQ(status.facts_time().seconds(), 1'000'000);
}

TEST_F(StatusTest, UnknownAfterThreeHeartbeatsNeverTheLastGreen) {
    Add("w1", kLive, absl::Seconds(3));
    EXPECT_EQ(Derive().state(), Status::STATE_LIVE);
    workers_.clear();
    Add("w1", kLive, absl::Seconds(3) + absl::Milliseconds(1));
    const Status status = Derive();
    EXPECT_EQ(status.state(), Status::STATE_UNKNOWN);
    EXPECT_EQ(status.reason(), "FACTS_STALE");
    EXPECT_FALSE(status.has_publisher());
    ASSERT_EQ(status.tables_size(), 1);
    EXPECT_EQ(status.tables(0).state(), v1::TableStatus::STATE_UNKNOWN);
}

TEST_F(StatusTest, UnknownWithoutAConnectedWorker) {
    Add("w1", kLive).connected = false;
    const Status status = Derive();
    EXPECT_EQ(status.state(), Status::STATE_UNKNOWN);
    EXPECT_EQ(status.reason(), "NO_WORKER");
    EXPECT_EQ(status.observed_generation(), 0);
    workers_.clear();
    EXPECT_EQ(Derive().state(), Status::STATE_UNKNOWN);
}

TEST_F(StatusTest, DeployingUntilAWorkerHasTheGenerationAndReports) {
    Add("w1", kLive).acked_generation = 1;
    EXPECT_EQ(Derive().state(), Status::STATE_DEPLOYING);
    EXPECT_EQ(Derive().observed_generation(), 1);
    workers_.clear();
    Add("w1", "").acked_at = kNow - absl::Seconds(2);
    EXPECT_EQ(Derive().state(), Status::STATE_DEPLOYING);
    workers_[0].acked_at = kNow - absl::Seconds(4);
    EXPECT_EQ(Derive().state(), Status::STATE_UNKNOWN);
}

TEST_F(StatusTest, ASecondWorkerThatJoinsDoesNotMakeItDeployAgain) {
    Add("w1", kLive);
    Add("w2", "").acked_generation = 0;
    EXPECT_EQ(Derive().state(), Status::STATE_LIVE);
    EXPECT_EQ(Derive().observed_generation(), 0);
}

TEST_F(StatusTest, BlockedWithTheReasonOfARefusedConfiguration) {
    v1::Rejection rejection;
    rejection.set_reason("SEAL_BROKEN");
    rejection.set_message("The secrets cannot be opened.");
    Add("w1", kLive).rejection = rejection;
    const Status status = Derive();
    EXPECT_EQ(status.state(), Status::STATE_BLOCKED);
    EXPECT_EQ(status.reason(), "SEAL_BROKEN");
    EXPECT_EQ(status.message(), "The secrets cannot be opened.");
}

TEST_F(StatusTest, BlockedWithTheRemedyOfThePublisher) {
    Add("w1",
        "publisher { state: STATE_BLOCKED error: 'The slot is gone' error_reason: 'SLOT_LOST' remedy: "
        "'Resync.' }");
    EXPECT_EQ(Derive().state(), Status::STATE_BLOCKED);
    EXPECT_EQ(Derive().reason(), "SLOT_LOST");
    EXPECT_EQ(Derive().message(), "The slot is gone. Resync.");
}

TEST_F(StatusTest, TakesThePublisherThatIsNoStandBy) {
    Add("w1", "publisher { state: STATE_STANDBY worker_id: 'w1' }");
    EXPECT_EQ(Derive().state(), Status::STATE_UNKNOWN);
    EXPECT_EQ(Derive().reason(), "NO_PUBLISHER");
    Add("w2", "publisher { state: STATE_STREAMING worker_id: 'w2' }", absl::Seconds(2));
    EXPECT_EQ(Derive().publisher().worker_id(), "w2");
    EXPECT_EQ(Derive().state(), Status::STATE_LIVE);
    workers_[1].facts_at = kNow - absl::Seconds(10);
    EXPECT_EQ(Derive().publisher().state(), v1::PublisherFacts::STATE_STANDBY);
    EXPECT_EQ(Derive().state(), Status::STATE_UNKNOWN);
}

TEST_F(StatusTest, CopyingWhileThePublisherOrATableCopies) {
    Add("w1", "publisher { state: STATE_COPYING tables_total: 1 }");
    EXPECT_EQ(Derive().state(), Status::STATE_COPYING);
    workers_[0].facts = Facts(std::string(kStreaming) +
                              "tables { schema: 's' table: 't' state: STATE_COPYING worker_id: 'w1' }");
    EXPECT_EQ(Derive().state(), Status::STATE_COPYING);
}

TEST_F(StatusTest, TablesThatOnlyThePublisherKnowsAreWaiting) {
    Add("w1", std::string(kStreaming) + "tables { schema: 's' table: 't' rows_copied: 5 }").role =
        "publisher";
    Status status = Derive();
    ASSERT_EQ(status.tables_size(), 1);
    EXPECT_EQ(status.tables(0).state(), v1::TableStatus::STATE_WAITING);
    EXPECT_EQ(status.tables(0).rows_copied(), 5);
    EXPECT_EQ(status.state(), Status::STATE_DEGRADED);
    EXPECT_EQ(status.reason(), "NO_CONSUMER");

    Add("w2", "tables { schema: 's' table: 't' state: STATE_LIVE worker_id: 'w2' }").role = "consumer";
    status = Derive();
    EXPECT_EQ(status.state(), Status::STATE_LIVE);
    EXPECT_EQ(status.tables(0).worker_id(), "w2");
    EXPECT_EQ(status.tables(0).rows_copied(), 5);

    workers_[1].facts = Facts("name: 'p'");
    status = Derive();
    EXPECT_EQ(status.state(), Status::STATE_COPYING);
    EXPECT_EQ(status.reason(), "TABLES_WAITING");
}

TEST_F(StatusTest, ATableIsCopyingWhileAnotherWorkerReadsItsRows) {
    Add("w1", std::string(kStreaming) +
                  "tables { schema: 's' table: 't' state: STATE_COPYING rows_copied: 5 rows_estimated: 9 }")
        .role = "publisher";
    Add("w2", "tables { schema: 's' table: 't' state: STATE_LIVE worker_id: 'w2' }").role = "consumer";
    const Status status = Derive();
    EXPECT_EQ(status.state(), Status::STATE_COPYING);
    EXPECT_EQ(status.tables(0).state(), v1::TableStatus::STATE_COPYING);
    EXPECT_EQ(status.tables(0).worker_id(), "w2");
    EXPECT_EQ(status.tables(0).rows_estimated(), 9);
}

TEST_F(StatusTest, WhatIsReadOfATableIsToldByItsPublisher) {
    Add("w1", std::string(kStreaming) + "tables { schema: 's' table: 't' backfill { state: STATE_PAUSED rows_read: 7 } }").role = "publisher";
    Add("w2", "tables { schema: 's' table: 't' state: STATE_LIVE worker_id: 'w2' }").role = "consumer";
    EXPECT_EQ(Derive().tables(0).backfill().state(), v1::BackfillStatus::STATE_PAUSED);
    EXPECT_EQ(Derive().tables(0).backfill().rows_read(), 7);
    workers_[0].facts = Facts(std::string(kStreaming) + "tables { schema: 's' table: 't' }");
    EXPECT_FALSE(Derive().tables(0).has_backfill());
}

TEST_F(StatusTest, CountsTablesThatNobodyNamesYetAsWaiting) {
    Add("w1", "publisher { state: STATE_STREAMING tables_total: 3 }");
    EXPECT_EQ(Derive().state(), Status::STATE_COPYING);
    EXPECT_THAT(Derive().message(), HasSubstr("3 tables wait"));
}

TEST_F(StatusTest, ATableFollowsItsNewestOwner) {
    Add("w1", "tables { schema: 's' table: 't' state: STATE_LIVE worker_id: 'w1' rows_applied: 1 }",
        absl::Seconds(2));
    Add("w2", std::string(kStreaming) +
                  "tables { schema: 's' table: 't' state: STATE_LIVE worker_id: 'w2' rows_applied: 2 }");
    EXPECT_EQ(Derive().tables(0).worker_id(), "w2");
    // The first copy of the publisher in w1 is no claim on the table.
    workers_[0].facts = Facts("tables { schema: 's' table: 't' state: STATE_COPYING rows_copied: 9 }");
    workers_[0].facts_at = kNow;
    workers_[1].facts_at = kNow - absl::Seconds(1);
    EXPECT_EQ(Derive().tables(0).worker_id(), "w2");
    EXPECT_EQ(Derive().tables(0).rows_copied(), 9);
}

TEST_F(StatusTest, ATableWhoseOwnerDiedIsUnknownUntilSomeoneNamesIt) {
    Add("w1",
        std::string(kStreaming) + "tables { schema: 's' table: 'a' state: STATE_LIVE worker_id: 'w1' }");
    Add("w2", "tables { schema: 's' table: 'b' state: STATE_LIVE worker_id: 'w2' }", absl::Seconds(9))
        .connected = false;
    const Status status = Derive();
    EXPECT_EQ(status.tables(1).state(), v1::TableStatus::STATE_UNKNOWN);
    EXPECT_EQ(status.state(), Status::STATE_DEGRADED);
    EXPECT_EQ(status.reason(), "TABLES_UNKNOWN");
}

TEST_F(StatusTest, DegradedCountsAndNamesTheWorstTable) {
    Add("w1", std::string(kStreaming) + R"(
        tables { schema: 's' table: 'a' state: STATE_LIVE worker_id: 'w1' }
        tables { schema: 's' table: 'b' state: STATE_RETRYING worker_id: 'w1' error: 'Busy.' error_reason: 'BUSY' }
        tables { schema: 's' table: 'c' state: STATE_HELD worker_id: 'w1' error: 'Bad type' error_reason: 'TYPE' remedy: 'Fix.' })");
    const Status status = Derive();
    EXPECT_EQ(status.state(), Status::STATE_DEGRADED);
    EXPECT_EQ(status.reason(), "TYPE");
    EXPECT_EQ(status.message(), "1 held and 1 retrying of 3 tables; s.c: Bad type. Fix.");
}

TEST_F(StatusTest, PublisherThatRetriesAndPipelineErrorsDegrade) {
    Add("w1", "publisher { state: STATE_RETRYING error: 'No route.' error_reason: 'NET_TCP' }");
    EXPECT_EQ(Derive().state(), Status::STATE_DEGRADED);
    EXPECT_EQ(Derive().reason(), "NET_TCP");
    workers_[0].facts = Facts("error: 'Kafka is down.' error_reason: 'KAFKA' remedy: 'Start it.'");
    EXPECT_EQ(Derive().state(), Status::STATE_DEGRADED);
    EXPECT_EQ(Derive().message(), "Kafka is down. Start it.");
}

TEST_F(StatusTest, PausedIsPausedOnlyWhileItIsReported) {
    SetDesired(v1::PipelineSpec::DESIRED_STATE_PAUSED);
    Add("w1", kStreaming);
    EXPECT_EQ(Derive().state(), Status::STATE_PAUSED);
    workers_[0].facts_at = kNow - absl::Seconds(10);
    EXPECT_EQ(Derive().state(), Status::STATE_UNKNOWN);
}

TEST_F(StatusTest, DeletingSaysWhenNobodyCanDoIt) {
    SetDesired(v1::PipelineSpec::DESIRED_STATE_DELETED);
    Add("w1", kLive);
    EXPECT_EQ(Derive().state(), Status::STATE_DELETING);
    EXPECT_EQ(Derive().message(), "");
    workers_[0].connected = false;
    EXPECT_EQ(Derive().reason(), "NO_WORKER");
    workers_.clear();
    Add("w1", "error: 'The slot is active.' error_reason: 'SLOT_ACTIVE'");
    EXPECT_EQ(Derive().state(), Status::STATE_DELETING);
    EXPECT_EQ(Derive().message(), "The slot is active.");
}

}  // namespace
}  // namespace millrace::domain
