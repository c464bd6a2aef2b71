#include "control-plane/store/store_conformance.h"

#include <gmock/gmock.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/status.h"

namespace millrace::store {
namespace {

using testing::ElementsAre;

absl::StatusOr<int64_t> PutOne(Store& store, const std::string& name, const std::string& bytes,
                               Expected expected = Expected::Any()) {
    int64_t revision = 0;
    const absl::Status status = store.Update([&](Transaction& transaction) -> absl::Status {
        ASSIGN_OR_RETURN(revision, transaction.Put("thing", name, bytes, expected));
        return absl::OkStatus();
    });
    if (!status.ok()) {
        return status;
    }
    return revision;
}

absl::StatusOr<Record> GetOne(const Store& store, const std::string& name) {
    absl::StatusOr<Record> record = absl::UnknownError("not run");
    const absl::Status status = store.View([&](const Reader& reader) {
        record = reader.Get("thing", name);
        return record.status();
    });
    EXPECT_EQ(status.code(), record.status().code());
    return record;
}

std::vector<std::string> Names(const Store& store, const std::string& parent, const std::string& after,
                               size_t limit, bool* more = nullptr) {
    std::vector<std::string> names;
    EXPECT_TRUE(store
                    .View([&](const Reader& reader) -> absl::Status {
                        ASSIGN_OR_RETURN(const Page page, reader.List("thing", parent, after, limit));
                        for (const Record& record : page.records) {
                            names.push_back(record.name);
                        }
                        if (more != nullptr) {
                            *more = page.more;
                        }
                        return absl::OkStatus();
                    })
                    .ok());
    return names;
}

/// Collects changes until as many as awaited have come.
class Recorder final {
 public:
    std::function<void(const Change&)> Callback() {
        return [this](const Change& change) {
            const std::lock_guard lock(mutex_);
            seen_.push_back(change.kind + ":" + change.name + (change.deleted ? ":deleted" : ""));
            revisions_.push_back(change.revision);
            arrived_.notify_all();
        };
    }
    std::vector<std::string> Await(size_t count) {
        std::unique_lock lock(mutex_);
        EXPECT_TRUE(arrived_.wait_for(lock, std::chrono::seconds(30), [&] { return seen_.size() >= count; }));
        return seen_;
    }
    std::vector<int64_t> revisions() {
        const std::lock_guard lock(mutex_);
        return revisions_;
    }

 private:
    std::mutex mutex_;
    std::condition_variable arrived_;
    std::vector<std::string> seen_;
    std::vector<int64_t> revisions_;
};

}  // namespace

TEST_P(StoreConformance, GetsWhatWasPutWithItsRevision) {
    const std::string bytes("a\0\xff", 3);
    const auto revision = PutOne(*store_, "t/a", bytes);
    ASSERT_TRUE(revision.ok()) << revision.status();
    const auto record = GetOne(*store_, "t/a");
    ASSERT_TRUE(record.ok());
    EXPECT_EQ(record->bytes, bytes);
    EXPECT_EQ(record->revision, *revision);
    EXPECT_TRUE(absl::IsNotFound(GetOne(*store_, "t/b").status()));
    ASSERT_TRUE(PutOne(*store_, "t/empty", "").ok());
    EXPECT_EQ(GetOne(*store_, "t/empty")->bytes, "");
}

TEST_P(StoreConformance, RevisionsRiseWithEveryWritingTransaction) {
    const int64_t first = PutOne(*store_, "t/a", "1").value();
    const int64_t second = PutOne(*store_, "t/b", "1").value();
    EXPECT_GT(second, first);
    EXPECT_EQ(store_->CurrentRevision().value(), second);
    ASSERT_TRUE(store_->Update([](Transaction&) { return absl::OkStatus(); }).ok());
    EXPECT_EQ(store_->CurrentRevision().value(), second);
}

TEST_P(StoreConformance, ComparesAndSets) {
    const int64_t first = PutOne(*store_, "t/a", "1", Expected::Absent()).value();
    EXPECT_EQ(PutOne(*store_, "t/a", "2", Expected::Absent()).status().code(), absl::StatusCode::kAborted);
    ASSERT_TRUE(PutOne(*store_, "t/a", "2", Expected::Revision(first)).ok());
    const auto stale = PutOne(*store_, "t/a", "3", Expected::Revision(first));
    EXPECT_EQ(stale.status().code(), absl::StatusCode::kAborted);
    EXPECT_EQ(base::ReasonOf(stale.status()), "REVISION_MISMATCH");
    EXPECT_EQ(GetOne(*store_, "t/a")->bytes, "2");
    EXPECT_EQ(PutOne(*store_, "t/none", "1", Expected::Revision(first)).status().code(),
              absl::StatusCode::kAborted);
}

TEST_P(StoreConformance, RollsBackAsAWhole) {
    ASSERT_TRUE(PutOne(*store_, "t/a", "1").ok());
    const int64_t revision = store_->CurrentRevision().value();
    const absl::Status status = store_->Update([](Transaction& transaction) -> absl::Status {
        RETURN_IF_ERROR(transaction.Put("thing", "t/a", "2", Expected::Any()).status());
        RETURN_IF_ERROR(transaction.AdvancePlane("p").status());
        EXPECT_EQ(transaction.Get("thing", "t/a")->bytes, "2");
        return absl::CancelledError("no");
    });
    EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
    EXPECT_EQ(GetOne(*store_, "t/a")->bytes, "1");
    EXPECT_EQ(store_->CurrentRevision().value(), revision);
    ASSERT_TRUE(store_
                    ->View([](const Reader& reader) {
                        EXPECT_EQ(reader.PlaneGeneration("p").value(), 0);
                        return absl::OkStatus();
                    })
                    .ok());
}

TEST_P(StoreConformance, DeletesConditionally) {
    const int64_t revision = PutOne(*store_, "t/a", "1").value();
    const auto remove = [&](const std::string& name, Expected expected) {
        return store_->Update([&](Transaction& t) { return t.Delete("thing", name, expected); });
    };
    EXPECT_EQ(remove("t/a", Expected::Revision(revision + 1)).code(), absl::StatusCode::kAborted);
    EXPECT_TRUE(remove("t/a", Expected::Revision(revision)).ok());
    EXPECT_TRUE(absl::IsNotFound(remove("t/a", Expected::Any())));
    EXPECT_TRUE(absl::IsNotFound(GetOne(*store_, "t/a").status()));
    EXPECT_GT(PutOne(*store_, "t/a", "1", Expected::Absent()).value(), revision);
}

TEST_P(StoreConformance, ListsBelowAParentInOrderAndInPages) {
    for (const char* name : {"t/b", "t/a", "t/c", "t-x/a", "t0/a", "tt/a", "t"}) {
        ASSERT_TRUE(PutOne(*store_, name, "1").ok());
    }
    EXPECT_THAT(Names(*store_, "t", "", 10), ElementsAre("t/a", "t/b", "t/c"));
    bool more = false;
    EXPECT_THAT(Names(*store_, "t", "", 2, &more), ElementsAre("t/a", "t/b"));
    EXPECT_TRUE(more);
    EXPECT_THAT(Names(*store_, "t", "t/b", 2, &more), ElementsAre("t/c"));
    EXPECT_FALSE(more);
    EXPECT_THAT(Names(*store_, "t", "", 3, &more), ElementsAre("t/a", "t/b", "t/c"));
    EXPECT_FALSE(more);
    EXPECT_EQ(Names(*store_, "", "", 10).size(), 7U);
}

TEST_P(StoreConformance, MintsPlaneGenerationsWithTheChange) {
    const auto advance = [&](const std::string& plane, int times) {
        int64_t generation = 0;
        EXPECT_TRUE(store_
                        ->Update([&](Transaction& transaction) -> absl::Status {
                            for (int i = 0; i < times; ++i) {
                                ASSIGN_OR_RETURN(generation, transaction.AdvancePlane(plane));
                            }
                            return absl::OkStatus();
                        })
                        .ok());
        return generation;
    };
    EXPECT_EQ(advance("p", 1), 1);
    EXPECT_EQ(advance("p", 3), 2);
    EXPECT_EQ(advance("q", 1), 1);
    Reopen();
    EXPECT_EQ(advance("p", 1), 3);
}

TEST_P(StoreConformance, KeepsEverythingOverAReopenAndTheEpochUntilRenewed) {
    ASSERT_TRUE(PutOne(*store_, "t/a", "1").ok());
    const std::string epoch = store_->Epoch().value();
    EXPECT_EQ(epoch.size(), 36U);
    const int64_t revision = store_->CurrentRevision().value();
    Reopen();
    EXPECT_EQ(GetOne(*store_, "t/a")->bytes, "1");
    EXPECT_EQ(store_->Epoch().value(), epoch);
    EXPECT_EQ(store_->CurrentRevision().value(), revision);
    ASSERT_TRUE(store_->RenewEpoch().ok());
    const std::string renewed = store_->Epoch().value();
    EXPECT_NE(renewed, epoch);
    Reopen();
    EXPECT_EQ(store_->Epoch().value(), renewed);
}

TEST_P(StoreConformance, WatchesFromARevisionInOrder) {
    const int64_t first = PutOne(*store_, "t/a", "1").value();
    ASSERT_TRUE(PutOne(*store_, "t/b", "1").ok());
    Recorder recorder;
    const auto watch = store_->StartWatch(first, recorder.Callback());
    ASSERT_TRUE(watch.ok());
    EXPECT_THAT(recorder.Await(1), ElementsAre("thing:t/b"));
    ASSERT_TRUE(store_
                    ->Update([](Transaction& transaction) -> absl::Status {
                        RETURN_IF_ERROR(transaction.Delete("thing", "t/a", Expected::Any()));
                        return transaction.AdvancePlane("p").status();
                    })
                    .ok());
    EXPECT_THAT(recorder.Await(3), ElementsAre("thing:t/b", "plane_generation:p", "thing:t/a:deleted"));
    const auto revisions = recorder.revisions();
    EXPECT_EQ(revisions[1], revisions[2]);
    EXPECT_GT(revisions[1], revisions[0]);
}

TEST_P(StoreConformance, ALogKeepsItsLastEntriesOncePerId) {
    const auto append = [&](const std::string& log, const std::string& id) {
        EXPECT_TRUE(
            store_->Update([&](Transaction& transaction) { return transaction.AppendLog(log, id, "b" + id, 3); })
                .ok());
    };
    const auto read = [&](const std::string& log, int64_t after, size_t limit) {
        std::string text;
        EXPECT_TRUE(store_
                        ->View([&](const Reader& reader) -> absl::Status {
                            ASSIGN_OR_RETURN(const auto entries, reader.ReadLog(log, after, limit));
                            for (const LogEntry& entry : entries) {
                                text += std::to_string(entry.sequence) + entry.bytes + " ";
                            }
                            return absl::OkStatus();
                        })
                        .ok());
        return text;
    };
    for (const char* id : {"x", "y", "y", "z", "w"}) {
        append("t/p", id);
    }
    append("t/other", "x");
    EXPECT_EQ(read("t/p", 0, 10), "2by 3bz 4bw ");
    EXPECT_EQ(read("t/p", -1, 2), "3bz 4bw ");
    EXPECT_EQ(read("t/p", 3, 10), "4bw ");
    EXPECT_EQ(read("t/p", 4, 10), "");
    Reopen();
    append("t/p", "v");
    EXPECT_EQ(read("t/p", 0, 1), "3bz ");
    EXPECT_TRUE(store_->Update([](Transaction& transaction) { return transaction.DeleteLog("t/p"); }).ok());
    EXPECT_EQ(read("t/p", 0, 10), "");
    EXPECT_EQ(read("t/other", 0, 10), "1bx ");
}

TEST_P(StoreConformance, AnEndedWatchIsSilent) {
    Recorder ended;
    Recorder running;
    auto first = store_->StartWatch(0, ended.Callback());
    const auto second = store_->StartWatch(0, running.Callback());
    ASSERT_TRUE(first.ok() && second.ok());
    first->reset();
    ASSERT_TRUE(PutOne(*store_, "t/a", "1").ok());
    EXPECT_EQ(running.Await(1).size(), 1U);
    EXPECT_THAT(ended.revisions(), ElementsAre());
}

TEST_P(StoreConformance, ConcurrentIncrementsLoseNothing) {
    ASSERT_TRUE(PutOne(*store_, "t/count", "0").ok());
    const auto increment = [&] {
        for (int i = 0; i < 20; ++i) {
            EXPECT_TRUE(store_
                            ->Update([](Transaction& transaction) -> absl::Status {
                                ASSIGN_OR_RETURN(const Record record, transaction.Get("thing", "t/count"));
                                const std::string next = std::to_string(std::stoi(record.bytes) + 1);
                                return transaction
                                    .Put("thing", "t/count", next, Expected::Revision(record.revision))
                                    .status();
                            })
                            .ok());
        }
    };
    std::thread other(increment);
    increment();
    other.join();
    EXPECT_EQ(GetOne(*store_, "t/count")->bytes, "40");
}

}  // namespace millrace::store
