// One file, several processes: readers get in, strangers are named, a killed writer leaves a sound file.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "base/status.h"
#include "base/text.h"
#include "connectors/duckdb/duckdb_fixture.h"

namespace millrace::duckdb {
namespace {

using sdk::testing::BatchBuilder;
using sdk::testing::MakeColumn;
using sdk::testing::MakeSchema;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

sdk::SchemaPtr Orders(const std::string& table) {
    return MakeSchema(table,
                      {MakeColumn("id", "bigint", 1), MakeColumn("v", "bigint"), MakeColumn("note", "text")});
}

// Rows 0 … rows-1, all with v = `turn`.
sdk::Batch Turn(const sdk::SchemaPtr& schema, int64_t turn, int rows) {
    BatchBuilder builder(schema);
    for (int i = 0; i < rows; ++i) {
        builder.Full({std::to_string(i), std::to_string(turn), "some text that every row has"});
    }
    return builder.Build(turn - 1, turn);
}

void HoldFile(const std::string& path, const std::function<void()>& ready) {
    DatabaseFiles files;
    const auto lease = files.Get(path, {})->Acquire();
    if (lease.ok()) {
        ready();
        pause();
    }
}

TEST(DuckDbSharing, NamesTheStrangerAndRecovers) {
    const TestFolder folder;
    ChildProcess stranger([&](const auto& ready) { HoldFile(folder.File(), ready); });
    const pid_t pid = stranger.pid();
    LeasePolicy policy;
    policy.lock_wait = milliseconds(200);
    DatabaseFiles files(policy);
    const auto destination = MakeTestDestination(files, folder.File());
    const auto writer = *destination->OpenTable({"shop", "orders"}, TestStream());
    const auto refused = writer->TakeOver();
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(base::ReasonOf(refused.status()), "FILE_LOCKED");
    EXPECT_THAT(base::Describe(refused.status()), testing::HasSubstr(folder.File()));
    EXPECT_THAT(base::Describe(refused.status()), testing::HasSubstr(base::Concat("pid ", pid)));
    const sdk::Findings findings = destination->Preflight(TestStream(), {});
    ASSERT_FALSE(findings.empty());
    EXPECT_EQ(findings.front().code, "FILE_LOCKED");
    EXPECT_EQ(findings.front().severity, sdk::Severity::kCritical);

    stranger.Kill();
    ASSERT_TRUE(writer->TakeOver().ok());
    ASSERT_TRUE(writer->Apply(Turn(Orders("orders"), 1, 3)).ok());
    EXPECT_EQ(QueryElsewhere(folder.File(), "SELECT count(*) FROM shop.orders"), "3");
}

// Some rows of every stretch of the table, so that DuckDB can drop none of them whole.
sdk::Batch Scattered(const sdk::SchemaPtr& schema, int64_t turn, int rows) {
    std::minstd_rand random(static_cast<uint32_t>(turn));
    BatchBuilder builder(schema);
    for (int i = 0; i < rows; ++i) {
        if (turn == 1 || random() % 10 < 3) {
            builder.Full({std::to_string(i), std::to_string(turn), base::Concat("some text of row ", random())});
        }
    }
    return builder.Build(turn - 1, turn);
}

// Bytes of the file once many of its rows have been replaced `turns` times, with a closing after each.
uintmax_t SizeAfterTurns(int64_t clear_rows, int turns, int rows) {
    const TestFolder folder;
    LeasePolicy policy;
    policy.linger = milliseconds(0);
    policy.gap = milliseconds(0);
    policy.clear_rows = clear_rows;
    {
        DatabaseFiles files(policy);
        const auto destination = MakeTestDestination(files, folder.File());
        const auto writer = *destination->OpenTable({"shop", "orders"}, TestStream());
        EXPECT_TRUE(writer->TakeOver().ok());
        const sdk::SchemaPtr schema = Orders("orders");
        for (int turn = 1; turn <= turns; ++turn) {
            EXPECT_TRUE(writer->Apply(Scattered(schema, turn, rows)).ok());
            files.Get(folder.File(), {})->AwaitClosed();
        }
    }
    EXPECT_EQ(QueryElsewhere(folder.File(), "SELECT count(*) || ' ' || max(v) FROM shop.orders"),
              base::Concat(rows, " ", turns));
    return std::filesystem::file_size(folder.File());
}

TEST(DuckDbSharing, RowsThatWereReplacedAreClearedAwayNowAndThen) {
    constexpr int kTurns = 30;
    constexpr int kRows = 10'000;
    const uintmax_t now_and_then = SizeAfterTurns(kRows, kTurns, kRows);
    const uintmax_t once = SizeAfterTurns(1000 * kRows, kTurns, kRows);
    EXPECT_LT(now_and_then, once * 2 / 3) << "and not at the first closing alone";
}

TEST(DuckDbSharing, WaitsForAShortReader) {
    const TestFolder folder;
    {
        DatabaseFiles files;
        ExecuteOnFile(files, folder.File(), "CREATE TABLE t (a INTEGER)");
    }
    DatabaseFiles files;
    ChildProcess reader([&](const auto& ready) {
        DatabaseFiles own;
        const auto lease = own.Get(folder.File(), {})->Acquire();
        ready();
        usleep(500'000);
    });
    const auto lease = files.Get(folder.File(), {})->Acquire();
    EXPECT_TRUE(lease.ok()) << base::Describe(lease.status());
}

// Each of them lets go of the file altogether: what closes it then must be over before the next one opens it.
TEST(DuckDbSharing, UsersThatComeAndGoLoseNothing) {
    constexpr int kUsers = 4;
    constexpr int kTurns = 40;
    const TestFolder folder;
    DatabaseFiles files;
    ExecuteOnFile(files, folder.File(), "CREATE TABLE t (a INTEGER)");
    std::atomic<int> written{0};
    std::vector<std::thread> users;
    for (int user = 0; user < kUsers; ++user) {
        users.emplace_back([&, user] {
            for (int turn = 0; turn < kTurns; ++turn) {
                const auto lease = files.Get(folder.File(), {})->Acquire();
                if (lease.ok() && (*lease)->connection().Execute("INSERT INTO t SELECT range FROM range(1000)").ok()) {
                    ++written;
                }
                usleep(static_cast<useconds_t>((user * 7 + turn * 13) % 40 * 1000));
            }
        });
    }
    for (std::thread& user : users) {
        user.join();
    }
    EXPECT_EQ(written, kUsers * kTurns);
    EXPECT_EQ(QueryElsewhere(folder.File(), "SELECT count(*) FROM t"), std::to_string(written * 1000));
}

TEST(DuckDbSharing, IsOpenOnlyWhileSomebodyWrites) {
    const TestFolder folder;
    DatabaseFiles files;
    const auto destination = MakeTestDestination(files, folder.File());
    const auto writer = TakeOver(*destination, "orders");
    ASSERT_TRUE(writer->Apply(Turn(Orders("orders"), 1, 1000)).ok());
    // It is kept for the next writer for a moment.
    for (int i = 0; i < 50 && folder.Names().size() > 1; ++i) {
        usleep(10'000);
    }
    EXPECT_THAT(folder.Names(), testing::ElementsAre("test.duckdb"));
    EXPECT_EQ(QueryElsewhere(folder.File(), "SELECT count(*) FROM shop.orders", "0ms"), "1000");
}

// A reader that asks again and again, against tables that flush without pause.
TEST(DuckDbSharing, ReaderSeesARowWithinASecondUnderLoad) {
    constexpr int kTables = 4;
    constexpr milliseconds kLength{6000};
    const TestFolder folder;
    DatabaseFiles files;
    const auto destination = MakeTestDestination(files, folder.File());
    std::mutex mutex;
    std::map<int64_t, Clock::time_point> committed;
    std::atomic<bool> stop = false;
    std::vector<std::thread> threads;
    std::vector<std::unique_ptr<sdk::TableWriter>> writers;
    for (int i = 0; i < kTables; ++i) {
        writers.push_back(TakeOver(*destination, base::Concat("orders", i)));
    }
    for (int i = 0; i < kTables; ++i) {
        threads.emplace_back([&, i] {
            const auto schema = Orders(base::Concat("orders", i));
            for (int64_t turn = 1; !stop; ++turn) {
                if (i == 0) {
                    const std::scoped_lock lock(mutex);
                    committed[turn] = Clock::now();
                }
                const sdk::Batch batch = Turn(schema, turn, 500);
                auto result = writers[static_cast<size_t>(i)]->Apply(batch);
                while (absl::IsAborted(result.status()) || absl::IsUnavailable(result.status())) {
                    result = writers[static_cast<size_t>(i)]->Apply(batch);
                }
                ASSERT_TRUE(result.ok()) << base::Describe(result.status());
            }
        });
    }
    std::map<int64_t, Clock::time_point> seen;
    int64_t newest = 0;
    int reads = 0;
    const auto end = Clock::now() + kLength;
    while (Clock::now() < end) {
        const auto answer = QueryElsewhere(
            folder.File(),
            "SELECT coalesce(max(next_offset), 0) FROM _millrace.checkpoints WHERE table_name = 'orders0'");
        if (!answer) {
            break;
        }
        ++reads;
        for (const int64_t turn = std::stoll(*answer); newest < turn;) {
            seen[++newest] = Clock::now();
        }
    }
    stop = true;
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_GT(reads, 5);
    ASSERT_GT(newest, 3);
    std::vector<milliseconds> ages;
    for (const auto& [turn, moment] : seen) {
        ages.push_back(std::chrono::duration_cast<milliseconds>(moment - committed[turn]));
    }
    std::sort(ages.begin(), ages.end());
    const milliseconds most = ages[ages.size() * 9 / 10];
    RecordProperty("median_ms", static_cast<int>(ages[ages.size() / 2].count()));
    RecordProperty("p90_ms", static_cast<int>(most.count()));
    RecordProperty("longest_ms", static_cast<int>(ages.back().count()));
    RecordProperty("reads", reads);
    RecordProperty("flushes", static_cast<int>(newest));
    // The rest is what a busy machine may add.
    EXPECT_LE(most, milliseconds(1000)) << reads << " reads, " << newest << " flushes of that table";
    EXPECT_LE(ages.back(), milliseconds(4000)) << reads << " reads, " << newest << " flushes of that table";
}

// A limit on the size of files stands for a full disk.
TEST(DuckDbSharing, WritesOnAfterAFullDisk) {
    const TestFolder folder;
    DatabaseFiles files;
    const auto destination = MakeTestDestination(files, folder.File());
    const auto writer = TakeOver(*destination, "orders");
    const auto schema = Orders("orders");
    ASSERT_TRUE(writer->Apply(Turn(schema, 1, 10)).ok());
    rlimit before{};
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    rlimit tight = before;
    tight.rlim_cur = 1024 * 1024;
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &tight), 0);
    BatchBuilder builder(schema);
    std::mt19937_64 random(11);
    for (int i = 0; i < 100'000; ++i) {
        builder.Full({std::to_string(i), std::to_string(random() >> 1),
                      std::to_string(random()) + std::to_string(random())});
    }
    const sdk::Batch large = builder.Build(1, 2);
    const auto refused = writer->Apply(large);
    // Neither the next table nor the file's release may hang on it.
    const auto again = writer->Apply(large);
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    EXPECT_FALSE(refused.ok());
    EXPECT_TRUE(absl::IsUnavailable(refused.status())) << base::Describe(refused.status());
    EXPECT_FALSE(again.ok());
    EXPECT_TRUE(absl::IsUnavailable(again.status())) << base::Describe(again.status());
    EXPECT_EQ(QueryElsewhere(folder.File(), "SELECT count(*) FROM shop.orders"), "10");
    const auto written = writer->Apply(large);
    ASSERT_TRUE(written.ok()) << base::Describe(written.status());
    EXPECT_EQ(QueryElsewhere(folder.File(), "SELECT count(*) FROM shop.orders"), "100000");
}

TEST(DuckDbSharing, AKilledWriterLeavesRowsAndCheckpointInStep) {
    constexpr int kRounds = 8;
    constexpr int kRows = 3000;
    const TestFolder folder;
    std::mt19937 random(7);
    int64_t reached = 0;
    for (int round = 0; round < kRounds; ++round) {
        ChildProcess writer([&](const auto& ready) {
            DatabaseFiles files;
            const auto destination = MakeTestDestination(files, folder.File());
            sdk::Checkpoint checkpoint;
            const auto table = TakeOver(*destination, "orders", &checkpoint);
            const auto schema = Orders("orders");
            for (int64_t turn = checkpoint.next_offset + 1;; ++turn) {
                if (!table->Apply(Turn(schema, turn, kRows)).ok()) {
                    return;
                }
                if (turn == checkpoint.next_offset + 1) {
                    ready();  // however slow the machine is, every round has written something
                }
            }
        });
        std::this_thread::sleep_for(milliseconds(random() % 400));
        writer.Kill();
        // Read-only first: a log of committed transactions may lie beside the file.
        const auto seen = QueryElsewhere(folder.File(),
                                         "SELECT next_offset, (SELECT count(*) FROM shop.orders), (SELECT "
                                         "count(DISTINCT v) FROM shop.orders), (SELECT"
                                         " max(v) FROM shop.orders) FROM _millrace.checkpoints");
        ASSERT_TRUE(seen.has_value());
        const int64_t offset = std::stoll(*seen);
        EXPECT_EQ(*seen, base::Concat(offset, "\t", kRows, "\t1\t", offset));
        EXPECT_GT(offset, reached) << "nothing was written in this round";
        reached = offset;
    }
}

}  // namespace
}  // namespace millrace::duckdb
