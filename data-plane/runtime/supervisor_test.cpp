#include "data-plane/runtime/supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "base/status.h"
#include "data-plane/runtime/config_change.h"
#include "data-plane/runtime/removal.h"

namespace millrace::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

config::PipelineConfig Pipeline(const std::string& id, int64_t generation = 1) {
    config::PipelineConfig config;
    config.name = "tenants/default/pipelines/" + id;
    config.id = id;
    config.uid = "uid-" + id;
    config.generation = generation;
    config.source.type = "toy";
    config.source.options.values["host"] = "db";
    config.source.options.secrets["password"] = base::Secret("a");
    config.destination.type = "toy";
    config.selection.tables = {"*.*"};
    return config;
}

/// What the fake runners did, in order.
class Journal final {
 public:
    void Write(const std::string& what, const std::string& id) {
        const std::lock_guard lock(mutex_);
        lines_.push_back(what + " " + id);
    }
    std::vector<std::string> Take() {
        const std::lock_guard lock(mutex_);
        return std::exchange(lines_, {});
    }

 private:
    std::mutex mutex_;
    std::vector<std::string> lines_;
};

/// Keeps its configuration and a state; drains at once unless told to hang.
class FakeRunner final : public Runner {
 public:
    FakeRunner(Journal& journal, const config::PipelineConfig& pipeline, std::shared_future<void> hang)
        : journal_(journal), pipeline_(pipeline), hang_(std::move(hang)) {
        journal_.Write("start", pipeline.id);
    }
    ~FakeRunner() override {
        if (hang_.valid()) {
            hang_.wait();
        }
        journal_.Write("gone", pipeline_.id);
    }
    void Update(const config::PipelineConfig& pipeline) override {
        if (CompareConfigs(pipeline_, pipeline) == ConfigChange::kHot) {
            journal_.Write("update", pipeline.id);
        }
        const std::lock_guard lock(mutex_);
        pipeline_ = pipeline;
    }
    [[nodiscard]] PipelineFacts Facts() const override {
        const std::lock_guard lock(mutex_);
        PipelineFacts facts;
        facts.name = pipeline_.name;
        facts.generation = pipeline_.generation;
        facts.paused = pipeline_.paused;
        facts.removed = pipeline_.removed;
        return facts;
    }
    void RequestStop() override { journal_.Write("stop", pipeline_.id); }
    bool Drained(std::chrono::steady_clock::time_point) override { return !hang_.valid(); }

 private:
    Journal& journal_;
    mutable std::mutex mutex_;
    config::PipelineConfig pipeline_;
    std::shared_future<void> hang_;
};

class SupervisorTest : public ::testing::Test {
 protected:
    RunnerFactory Factory() {
        return [this](const config::PipelineConfig& pipeline) {
            return std::make_unique<FakeRunner>(journal_, pipeline, hang_);
        };
    }
    std::vector<std::string> Running() const {
        std::vector<std::string> ids;
        for (const PipelineFacts& facts : supervisor_.Facts()) {
            ids.push_back(facts.name.substr(facts.name.rfind('/') + 1) + "@" +
                          std::to_string(facts.generation));
        }
        return ids;
    }

    Journal journal_;
    std::shared_future<void> hang_;
    Supervisor supervisor_{Factory(), std::chrono::milliseconds(10)};
};

TEST_F(SupervisorTest, StartsWhatIsNewAndStopsWhatIsGone) {
    supervisor_.Assign({Pipeline("a"), Pipeline("b")});
    EXPECT_THAT(journal_.Take(), UnorderedElementsAre("start a", "start b"));
    supervisor_.Assign({Pipeline("b"), Pipeline("c")});
    EXPECT_THAT(journal_.Take(), ElementsAre("stop a", "gone a", "start c"));
    EXPECT_THAT(Running(), ElementsAre("b@1", "c@1"));
    supervisor_.Assign({});
    EXPECT_THAT(Running(), IsEmpty());
}

TEST_F(SupervisorTest, AnUnchangedPipelineIsNotTouchedButShowsItsNewGeneration) {
    supervisor_.Assign({Pipeline("a")});
    journal_.Take();
    supervisor_.Assign({Pipeline("a", 2)});
    EXPECT_THAT(journal_.Take(), IsEmpty());
    EXPECT_THAT(Running(), ElementsAre("a@2"));
}

TEST_F(SupervisorTest, PauseAndFlushRulesAreTakenOverWhileItRuns) {
    supervisor_.Assign({Pipeline("a"), Pipeline("b")});
    journal_.Take();
    config::PipelineConfig paused = Pipeline("a", 2);
    paused.paused = true;
    supervisor_.Assign({paused, Pipeline("b")});
    EXPECT_THAT(journal_.Take(), ElementsAre("update a"));
    paused.flush.rows = 5;
    supervisor_.Assign({paused, Pipeline("b")});
    EXPECT_THAT(journal_.Take(), ElementsAre("update a"));
}

TEST_F(SupervisorTest, ARestartTouchesOnlyThePipelineThatChanged) {
    supervisor_.Assign({Pipeline("a"), Pipeline("b")});
    journal_.Take();
    config::PipelineConfig changed = Pipeline("a", 2);
    changed.source.options.secrets["password"] = base::Secret("new");
    supervisor_.Assign({changed, Pipeline("b")});
    EXPECT_THAT(journal_.Take(), ElementsAre("stop a", "gone a", "start a"));
    changed.uid = "uid-again";
    supervisor_.Assign({changed, Pipeline("b")});
    EXPECT_THAT(journal_.Take(), ElementsAre("stop a", "gone a", "start a"));
}

TEST_F(SupervisorTest, ADeletedPipelineIsStoppedBeforeItsRemovalBegins) {
    supervisor_.Assign({Pipeline("a")});
    journal_.Take();
    config::PipelineConfig removed = Pipeline("a", 2);
    removed.removed = true;
    supervisor_.Assign({removed});
    EXPECT_THAT(journal_.Take(), ElementsAre("stop a", "gone a", "start a"));
    EXPECT_THAT(supervisor_.Removed(), ElementsAre("tenants/default/pipelines/a"));
    supervisor_.Assign({});
    EXPECT_THAT(supervisor_.Removed(), IsEmpty());
}

TEST_F(SupervisorTest, OneThatHangsDoesNotHoldTheOthersUp) {
    std::promise<void> release;
    hang_ = release.get_future().share();
    supervisor_.Assign({Pipeline("a")});
    hang_ = {};
    supervisor_.Assign({Pipeline("b")});
    EXPECT_THAT(Running(), ElementsAre("b@1"));
    EXPECT_THAT(journal_.Take(), ElementsAre("start a", "stop a", "start b"));
    release.set_value();
}

TEST_F(SupervisorTest, AfterStopNothingIsStarted) {
    supervisor_.Assign({Pipeline("a")});
    EXPECT_TRUE(supervisor_.Stop());
    journal_.Take();
    supervisor_.Assign({Pipeline("b")});
    EXPECT_THAT(journal_.Take(), IsEmpty());
}

TEST(CompareConfigs, TellsHotChangesFromRestarts) {
    const config::PipelineConfig before = Pipeline("a");
    EXPECT_EQ(CompareConfigs(before, Pipeline("a", 9)), ConfigChange::kNone);
    const auto with = [](const std::function<void(config::PipelineConfig&)>& change) {
        config::PipelineConfig config = Pipeline("a");
        change(config);
        return config;
    };
    using C = config::PipelineConfig;
    EXPECT_EQ(CompareConfigs(before, with([](C& c) { c.paused = true; })), ConfigChange::kHot);
    EXPECT_EQ(CompareConfigs(before, with([](C& c) { c.flush.bytes = base::ByteCount(1); })),
              ConfigChange::kHot);
    for (const auto& change : std::vector<std::function<void(C&)>>{
             [](C& c) { c.uid = "x"; }, [](C& c) { c.id = "x"; }, [](C& c) { c.removed = true; },
             [](C& c) { c.selection.tables = {"public.*"}; },
             [](C& c) { c.selection.exclude = {"public.*"}; },
             [](C& c) { c.codec = config::Codec::kDebeziumJson; },
             [](C& c) { c.selection.keys["public.t"] = "k"; }, [](C& c) { c.source.type = "x"; },
             [](C& c) { c.source.options.values["host"] = "x"; },
             [](C& c) { c.source.options.secrets["password"] = base::Secret("x"); },
             [](C& c) { c.destination.options.secrets["password"] = base::Secret("x"); },
             [](C& c) { c.destination.options.values["path"] = "x"; }}) {
        EXPECT_EQ(CompareConfigs(before, with(change)), ConfigChange::kRestart);
    }
}

TEST(RemovalRunner, TriesUntilEverythingIsGoneAndShowsWhyItIsNot) {
    std::promise<void> failed_once;
    std::promise<void> go_on;
    int calls = 0;
    RemovalRunner runner(
        Pipeline("a"),
        [&](const config::PipelineConfig&) -> absl::Status {
            if (++calls == 1) {
                return base::MakeError(absl::StatusCode::kAborted, "SLOT_ACTIVE", "the slot is held",
                                       "Wait.");
            }
            if (calls == 2) {
                failed_once.set_value();
                go_on.get_future().wait();
            }
            return absl::OkStatus();
        },
        std::chrono::milliseconds(1), std::chrono::milliseconds(1));
    failed_once.get_future().wait();
    EXPECT_EQ(base::ReasonOf(runner.Facts().error), "SLOT_ACTIVE");
    EXPECT_FALSE(runner.Facts().removed);
    go_on.set_value();
    EXPECT_TRUE(runner.Drained(std::chrono::steady_clock::now() + std::chrono::minutes(1)));
    EXPECT_TRUE(runner.Facts().removed);
    EXPECT_TRUE(runner.Facts().error.ok());
}

TEST(RemovalRunner, StopsBetweenAttempts) {
    std::atomic<int> calls = 0;
    RemovalRunner runner(
        Pipeline("a"),
        [&](const config::PipelineConfig&) {
            ++calls;
            return absl::UnavailableError("away");
        },
        std::chrono::hours(1), std::chrono::hours(1));
    runner.RequestStop();
    EXPECT_TRUE(runner.Drained(std::chrono::steady_clock::now() + std::chrono::minutes(1)));
    EXPECT_FALSE(runner.Facts().removed);
    EXPECT_LE(calls, 1);
}

}  // namespace
}  // namespace millrace::runtime
