#include "data-plane/bus/group_membership.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <thread>

#include "base/status.h"
#include "data-plane/bus/bus_fixture.h"
#include "gmock/gmock.h"

namespace millrace::bus {
namespace {

using Clock = std::chrono::steady_clock;

/// A member and what it owns; polled by the test's one thread.
class Member final : public GroupMembership::Listener {
 public:
    Member(const config::KafkaConfig& kafka, const std::string& group, const std::string& pattern,
           const std::string& name) {
        auto membership = GroupMembership::Join(kafka, group, pattern, name, *this);
        EXPECT_TRUE(membership.ok()) << membership.status();
        membership_ = *std::move(membership);
    }

    void OnAssigned(const std::vector<std::string>& topics) override {
        for (const std::string& topic : topics) {
            EXPECT_TRUE(owned.insert(topic).second) << "assigned twice: " << topic;
        }
    }
    void OnRevoked(const std::vector<std::string>& topics, bool /*lost*/) override {
        for (const std::string& topic : topics) {
            EXPECT_EQ(owned.erase(topic), 1U) << "revoked but never assigned: " << topic;
        }
    }
    void Poll() {
        const absl::Status status = membership_->Poll(std::chrono::milliseconds(10));
        EXPECT_TRUE(status.ok()) << status;
    }
    void Leave() { membership_ = nullptr; }

    std::set<std::string> owned;

 private:
    std::unique_ptr<GroupMembership> membership_;
};

class GroupMembershipTest : public BusTest {
 protected:
    void SetUp() override {
        BusTest::SetUp();
        stem_ = testing_support::FreeKafkaName("bus-group");
        groups_.push_back(stem_ + ".assign");
        std::vector<TopicSpec> specs;
        for (int i = 0; i < 6; ++i) {
            made_.push_back(stem_ + ".public.t" + std::to_string(i));
            specs.push_back({made_.back(), TableTopicProperties()});
        }
        specs.push_back({stem_ + ".__control", CompactedTopicProperties()});
        MILLRACE_ASSERT_OK(admin_->CreateTopics(specs, 20s));
        tables_ = {made_.begin(), made_.end()};
        made_.push_back(stem_ + ".__control");
    }

    [[nodiscard]] std::string Pattern() const { return "^" + stem_ + "\\.[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+$"; }
    std::unique_ptr<Member> Join(const std::string& name) {
        return std::make_unique<Member>(kafka_, groups_.front(), Pattern(), name);
    }

    /// Every one of `tables_` belongs to exactly one of `members`, and each has its share.
    bool Shared(const std::vector<Member*>& members) const {
        std::size_t count = 0;
        std::set<std::string> all;
        for (const Member* member : members) {
            count += member->owned.size();
            all.insert(member->owned.begin(), member->owned.end());
            if (member->owned.size() < tables_.size() / members.size()) {
                return false;
            }
        }
        return all == tables_ && count == all.size();
    }

    /// Seconds until the tables are shared, and stay so for a while; polls everybody meanwhile.
    double AwaitShared(const std::vector<Member*>& members, std::chrono::milliseconds patience) {
        const auto begun = Clock::now();
        auto since = begun;
        bool shared = false;
        while (Clock::now() - begun < patience) {
            for (Member* member : members) {
                member->Poll();
            }
            if (!Shared(members)) {
                shared = false;
            } else if (!shared) {
                shared = true;
                since = Clock::now();
            } else if (Clock::now() - since > 300ms) {
                return std::chrono::duration<double>(since - begun).count();
            }
        }
        ADD_FAILURE() << "the tables are not shared";
        return -1;
    }

    std::string stem_;
    std::set<std::string> tables_;
};

TEST_F(GroupMembershipTest, EveryTableHasOneOwner) {
    const auto a = Join("a");
    const auto b = Join("b");
    const auto c = Join("c");
    std::printf("three members share six tables after %.1f s\n",
                AwaitShared({a.get(), b.get(), c.get()}, 30s));

    b->Leave();
    EXPECT_TRUE(b->owned.empty()) << "leaving revokes";
    std::printf("two after one left: %.1f s\n", AwaitShared({a.get(), c.get()}, 20s));

    const std::string fresh = stem_ + ".public.fresh";
    MakeTopicNamed(fresh);
    tables_.insert(fresh);
    const double noticed = AwaitShared({a.get(), c.get()}, 20s);
    std::printf("a new table is owned after %.1f s\n", noticed);
    EXPECT_LT(noticed, 15);
}

TEST_F(GroupMembershipTest, TablesOfADeadMemberMove) {
    // Before this process has threads of the client library: only then may it fork.
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        Member victim(kafka_, groups_.front(), Pattern(), "victim");
        for (;;) {
            victim.Poll();
        }
    }
    const auto a = Join("a");
    const auto b = Join("b");
    // The child's share is what the two lack.
    const auto begun = Clock::now();
    while (a->owned.size() + b->owned.size() != 4 && Clock::now() - begun < 30s) {
        a->Poll();
        b->Poll();
    }
    const bool shared = a->owned.size() == 2 && b->owned.size() == 2;
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    EXPECT_TRUE(shared) << a->owned.size() << " and " << b->owned.size();
    const double moved = AwaitShared({a.get(), b.get()}, 30s);
    std::printf("tables of a killed member moved after %.1f s\n", moved);
    EXPECT_LT(moved, 15);
}

TEST_F(GroupMembershipTest, LeavingAtAnyMomentOfTheFirstAssignmentIsSafe) {
    // Whoever comes or goes begins a rebalance, so that each of them leaves at another moment of its own first one.
    for (int round = 0; round < 6; ++round) {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 5; ++i) {
            threads.emplace_back([this, round, i] {
                const auto member = Join("passing-" + std::to_string(i));
                const auto until = Clock::now() + std::chrono::milliseconds(17 * (5 * round + i));
                while (Clock::now() < until) {
                    member->Poll();
                }
                member->Leave();
            });
        }
    }
    const auto resident = Join("resident");
    AwaitShared({resident.get()}, 20s);
}

TEST_F(GroupMembershipTest, NothingIsCommittedInTheGroup) {
    auto a = Join("a");
    AwaitShared({a.get()}, 30s);
    a->Leave();
    const auto offsets = admin_->CommittedOffsets(groups_.front(), {tables_.begin(), tables_.end()}, 10s);
    ASSERT_TRUE(offsets.ok()) << offsets.status();
    EXPECT_THAT(*offsets, testing::IsEmpty());
}

TEST_F(GroupMembershipTest, LeavingADeadBrokerDoesNotHang) {
    config::KafkaConfig nowhere;
    nowhere.brokers = "127.0.0.1:1";
    auto lonely = std::make_unique<Member>(nowhere, "g", "^x", "lonely");
    lonely->Poll();
    const auto begun = Clock::now();
    lonely = nullptr;
    EXPECT_LT(Clock::now() - begun, 10s);
}

}  // namespace
}  // namespace millrace::bus
