#include "data-plane/agent/caught_up.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "data-plane/publish/stream_position.h"

namespace millrace::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// A Kafka of three maps.
class FakeProgress final : public PipelineProgress {
 public:
    std::optional<DurableProgress> durable;
    Offsets ends;
    Offsets applied;
    absl::Status error;
    absl::Status offsets_error;
    absl::StatusOr<SourceTables> at_source = SourceTables();

    absl::StatusOr<std::optional<DurableProgress>> Durable() override {
        if (!error.ok()) {
            return error;
        }
        return durable;
    }
    absl::StatusOr<Offsets> Ends() override { return ends; }
    absl::StatusOr<Offsets> Applied(const Offsets&) override {
        return offsets_error.ok() ? absl::StatusOr<Offsets>(applied) : offsets_error;
    }
};

CaughtUpAnswer Ask(CaughtUp& caught_up, FakeProgress& progress, const std::string& position = "0/64") {
    auto answer = caught_up.Check("uid", position, progress, [&] { return progress.at_source; });
    EXPECT_TRUE(answer.ok()) << answer.status();
    return *answer;
}

TEST(CaughtUp, WaitsForThePublisherFirst) {
    CaughtUp caught_up;
    FakeProgress progress;
    EXPECT_THAT(Ask(caught_up, progress).waiting_for, ElementsAre(HasSubstr("not written anything")));
    progress.durable = DurableProgress{200, false, {}};
    EXPECT_THAT(Ask(caught_up, progress).waiting_for, ElementsAre(HasSubstr("first copy")));
    progress.durable = DurableProgress{99, true, {}};
    const CaughtUpAnswer answer = Ask(caught_up, progress);
    EXPECT_FALSE(answer.caught_up);
    EXPECT_THAT(answer.waiting_for, ElementsAre(HasSubstr("0/63")));
    progress.durable = DurableProgress{100, true, {}};
    EXPECT_TRUE(Ask(caught_up, progress).caught_up) << "no topics: nothing to apply";
}

TEST(CaughtUp, EveryTopicThatIsNotEmptyMustBeAppliedPastItsEnd) {
    CaughtUp caught_up;
    FakeProgress progress;
    progress.durable = DurableProgress{100, true, {}};
    progress.ends = {{"a", 10}, {"b", 5}, {"empty", 0}};
    EXPECT_THAT(Ask(caught_up, progress).waiting_for, ElementsAre(HasSubstr("a is"), HasSubstr("b is")));
    progress.applied = {{"a", 10}, {"b", 4}};
    EXPECT_THAT(Ask(caught_up, progress).waiting_for, ElementsAre(HasSubstr("offset 4 of 5")));
    progress.applied = {{"a", 12}, {"b", 5}};
    const CaughtUpAnswer answer = Ask(caught_up, progress);
    EXPECT_TRUE(answer.caught_up);
    EXPECT_THAT(answer.waiting_for, IsEmpty());
}

TEST(CaughtUp, ATableThatIsNewOrMadeAnewAtTheSourceIsWaitedFor) {
    CaughtUp caught_up;
    FakeProgress progress;
    progress.durable = DurableProgress{100, true, {}, {{"p.s.old", {7}}, {"p.s.unknown", {0}}}};
    progress.at_source = SourceTables{{"p.s.old", {7}}, {"p.s.unknown", {8}}, {"p.s.new", {9}}};
    EXPECT_THAT(Ask(caught_up, progress).waiting_for, ElementsAre(HasSubstr("p.s.new")));
    progress.durable->copied["p.s.new"] = {9};
    progress.at_source->at("p.s.old") = {10};
    EXPECT_THAT(Ask(caught_up, progress).waiting_for, ElementsAre(HasSubstr("p.s.old")));
    progress.at_source = base::MakeError(absl::StatusCode::kUnavailable, "NET_TCP", "the server is away");
    EXPECT_THAT(Ask(caught_up, progress).waiting_for, ElementsAre(HasSubstr("server is away")));
    progress.durable->copied["p.s.old"] = {7, 70};
    progress.at_source = SourceTables{{"p.s.old", {7, 71}}};
    EXPECT_THAT(Ask(caught_up, progress).waiting_for, ElementsAre(HasSubstr("left the publication")));
    progress.at_source = SourceTables{{"p.s.old", {7, 70}}};
    EXPECT_TRUE(Ask(caught_up, progress).caught_up) << "a table that left the source holds nothing up";
    progress.at_source = SourceTables{{"p.s.later", {11}}};
    EXPECT_TRUE(Ask(caught_up, progress).caught_up) << "the answer for a position stays";
}

TEST(CaughtUp, ATableWhoseChangesAreInNoTopicIsWaitedFor) {
    CaughtUp caught_up;
    FakeProgress progress;
    progress.durable = DurableProgress{100, true, {"table s.t is held (TOPIC_MISSING): resync"}};
    EXPECT_THAT(Ask(caught_up, progress).waiting_for, ElementsAre(HasSubstr("s.t is held")));
    progress.durable->held.clear();
    progress.ends = {{"a", 10}};
    progress.offsets_error = base::MakeError(absl::StatusCode::kNotFound, "TOPIC_MISSING", "topic a is not there");
    EXPECT_THAT(Ask(caught_up, progress).waiting_for, ElementsAre(HasSubstr("not there")));
    // Made anew, it is shorter than it was.
    progress.offsets_error = absl::OkStatus();
    progress.ends = {{"a", 3}};
    progress.applied = {{"a", 3}};
    EXPECT_TRUE(Ask(caught_up, progress).caught_up);
}

TEST(CaughtUp, EndsDoNotRunAwayUnderLoad) {
    CaughtUp caught_up;
    FakeProgress progress;
    progress.durable = DurableProgress{100, true, {}};
    progress.ends = {{"a", 10}};
    progress.applied = {{"a", 8}};
    EXPECT_FALSE(Ask(caught_up, progress).caught_up);
    progress.ends = {{"a", 1000}};
    progress.applied = {{"a", 10}};
    EXPECT_TRUE(Ask(caught_up, progress).caught_up);
    EXPECT_FALSE(Ask(caught_up, progress, "0/63").caught_up) << "another position has ends of its own";
}

TEST(CaughtUp, EndsTakenBeforeThePositionWasDurableDoNotCount) {
    CaughtUp caught_up;
    FakeProgress progress;
    progress.durable = DurableProgress{99, true, {}};
    progress.ends = {{"a", 1}};
    progress.applied = {{"a", 1}};
    EXPECT_FALSE(Ask(caught_up, progress).caught_up);
    progress.durable = DurableProgress{100, true, {}};
    progress.ends = {{"a", 2}};
    EXPECT_FALSE(Ask(caught_up, progress).caught_up);
}

TEST(CaughtUp, RemembersABoundedNumberOfPositions) {
    CaughtUp caught_up(2);
    FakeProgress progress;
    progress.durable = DurableProgress{100, true, {}};
    progress.ends = {{"a", 1}};
    Ask(caught_up, progress, "1");
    Ask(caught_up, progress, "2");
    Ask(caught_up, progress, "3");
    progress.ends = {{"a", 50}};
    progress.applied = {{"a", 1}};
    EXPECT_TRUE(Ask(caught_up, progress, "3").caught_up);
    EXPECT_FALSE(Ask(caught_up, progress, "1").caught_up) << "forgotten: its end is taken anew";
}

TEST(CaughtUp, ErrorsAndNonsensePassThrough) {
    CaughtUp caught_up;
    FakeProgress progress;
    EXPECT_EQ(base::ReasonOf(caught_up.Check("uid", "yesterday", progress, {}).status()), "POSITION_INVALID");
    progress.error = base::MakeError(absl::StatusCode::kUnavailable, "KAFKA_UNREACHABLE", "no broker");
    EXPECT_EQ(base::ReasonOf(caught_up.Check("uid", "0/1", progress, {}).status()), "KAFKA_UNREACHABLE");
}

TEST(CaughtUp, ManyUnappliedTopicsAreSummed) {
    CaughtUp caught_up;
    FakeProgress progress;
    progress.durable = DurableProgress{100, true, {}};
    for (int i = 0; i < 9; ++i) {
        progress.ends["topic" + std::to_string(i)] = 1;
    }
    const CaughtUpAnswer answer = Ask(caught_up, progress);
    ASSERT_EQ(answer.waiting_for.size(), 6u);
    EXPECT_EQ(answer.waiting_for.back(), "and 4 more topics");
}

TEST(Position, TextAndBack) {
    for (const uint64_t position : {uint64_t{0}, uint64_t{100}, uint64_t{0x16B374D848}, UINT64_MAX}) {
        EXPECT_EQ(ParsePosition(publish::PositionText(position)), position);
        EXPECT_EQ(ParsePosition(std::to_string(position)), position);
    }
    EXPECT_EQ(publish::PositionText(0x16B374D848), "16/B374D848");
    for (const char* text : {"", "/", "1/", "/1", "1/2/3", "g/1", "-1", "1/100000000", " 1", "0x10"}) {
        EXPECT_FALSE(ParsePosition(text).has_value()) << text;
    }
}

}  // namespace
}  // namespace millrace::agent
