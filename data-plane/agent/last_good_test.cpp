#include "data-plane/agent/last_good.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "base/file.h"
#include "base/status.h"
#include "data-plane/agent/plane_key.h"
#include "millrace/v1/link.pb.h"

namespace millrace::agent {
namespace {

namespace fs = std::filesystem;

class StateFolder : public ::testing::Test {
 protected:
    StateFolder() { fs::create_directories(folder_); }
    ~StateFolder() override { fs::remove_all(folder_); }

    static mode_t ModeOf(const fs::path& path) {
        struct stat info {};
        EXPECT_EQ(::stat(path.c_str(), &info), 0);
        return info.st_mode & 0777;
    }

    const fs::path folder_ = fs::temp_directory_path() / ("millrace-agent-" + RandomHex());
};

class LastGoodTest : public StateFolder {
 protected:
    LastGoodTest() {
        snapshot_.set_epoch("e1");
        snapshot_.set_generation(7);
        snapshot_.add_pipelines()->set_name("tenants/default/pipelines/shop");
        snapshot_.mutable_pipelines(0)->mutable_source()->set_sealed_secrets("-----BEGIN CMS-----");
    }

    const fs::path path_ = folder_ / "last-good";
    const LastGood last_good_{path_, "tenants/default/dataPlanes/default"};
    v1::ConfigSnapshot snapshot_;
};

TEST_F(LastGoodTest, WhatWasSavedIsLoaded) {
    ASSERT_TRUE(last_good_.Save(snapshot_).ok());
    v1::ConfigSnapshot loaded;
    const absl::Status status = last_good_.Load(&loaded);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(loaded.SerializeAsString(), snapshot_.SerializeAsString());
    EXPECT_EQ(ModeOf(path_), 0600u);
}

TEST_F(LastGoodTest, AnAbsentFileIsNotFound) {
    v1::ConfigSnapshot loaded;
    EXPECT_EQ(last_good_.Load(&loaded).code(), absl::StatusCode::kNotFound);
}

TEST_F(LastGoodTest, EveryTruncationAndEveryFlippedByteIsNoticed) {
    ASSERT_TRUE(last_good_.Save(snapshot_).ok());
    const std::string good = *base::ReadFile(path_);
    for (size_t i = 0; i < good.size(); ++i) {
        v1::ConfigSnapshot loaded;
        ASSERT_TRUE(base::WriteFileAtomically(path_, good.substr(0, i)).ok());
        EXPECT_FALSE(last_good_.Load(&loaded).ok()) << "cut at " << i;
        std::string flipped = good;
        flipped[i] = static_cast<char>(flipped[i] ^ 1);
        ASSERT_TRUE(base::WriteFileAtomically(path_, flipped).ok());
        EXPECT_FALSE(last_good_.Load(&loaded).ok()) << "flipped at " << i;
    }
}

TEST_F(LastGoodTest, AnotherPlanesConfigurationIsNotUsed) {
    ASSERT_TRUE(last_good_.Save(snapshot_).ok());
    v1::ConfigSnapshot loaded;
    const LastGood other(path_, "tenants/default/dataPlanes/other");
    EXPECT_EQ(base::ReasonOf(other.Load(&loaded)), "LAST_GOOD_FOREIGN");
}

using PlaneKeyTest = StateFolder;

TEST_F(PlaneKeyTest, AKeyIsMadeOnceAndReadAfterwards) {
    const fs::path path = folder_ / "keys" / "plane.key";
    const auto made = LoadOrMakeKeys(path);
    ASSERT_TRUE(made.ok()) << made.status();
    EXPECT_EQ(ModeOf(path), 0600u);
    EXPECT_EQ(*base::ReadFile(path.string() + ".pub"), made->public_pem);
    const auto read = LoadOrMakeKeys(path);
    ASSERT_TRUE(read.ok());
    EXPECT_EQ(read->public_pem, made->public_pem);
    EXPECT_EQ(std::distance(fs::directory_iterator(path.parent_path()), {}), 2) << "no temporary file stays";
}

TEST_F(PlaneKeyTest, AKeyOpenToOthersIsRefused) {
    const fs::path path = folder_ / "plane.key";
    ASSERT_TRUE(LoadOrMakeKeys(path).ok());
    fs::permissions(path, fs::perms::others_read, fs::perm_options::add);
    EXPECT_EQ(base::ReasonOf(LoadOrMakeKeys(path).status()), "KEY_MODE");
}

TEST_F(PlaneKeyTest, AFileThatIsNoKeyIsRefused) {
    const fs::path path = folder_ / "plane.key";
    ASSERT_TRUE(base::WriteFileAtomically(path, "hello", 0600).ok());
    EXPECT_FALSE(LoadOrMakeKeys(path).ok());
}

TEST_F(PlaneKeyTest, TheWorkerIdStays) {
    const auto first = LoadOrMakeWorkerId(folder_);
    ASSERT_TRUE(first.ok()) << first.status();
    EXPECT_FALSE(first->empty());
    EXPECT_EQ(*LoadOrMakeWorkerId(folder_), *first);
}

TEST_F(PlaneKeyTest, AStateFolderHasOneWorker) {
    auto lock = StateLock::Acquire(folder_);
    ASSERT_TRUE(lock.ok()) << lock.status();
    EXPECT_EQ(base::ReasonOf(StateLock::Acquire(folder_, std::chrono::milliseconds(30)).status()), "STATE_DIR_IN_USE");
    std::jthread dying([&lock] {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        lock->reset();
    });
    EXPECT_TRUE(StateLock::Acquire(folder_).ok()) << "who was killed is waited for";
}

}  // namespace
}  // namespace millrace::agent
