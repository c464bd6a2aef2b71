#include "base/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "base/status.h"

namespace millrace::base {
namespace {

class FileTest : public testing::Test {
 protected:
    void SetUp() override {
        std::string pattern = (std::filesystem::temp_directory_path() / "millrace-file-XXXXXX").string();
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        folder_ = pattern;
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }

    static unsigned ModeOf(const std::filesystem::path& path) {
        struct stat info {};
        EXPECT_EQ(::stat(path.c_str(), &info), 0);
        return info.st_mode & 0777U;
    }

    std::filesystem::path folder_;
};

TEST_F(FileTest, ReadsBackWhatItWrote) {
    const std::string content("a\0b\r\n", 5);
    ASSERT_TRUE(WriteFileAtomically(folder_ / "f", content).ok());
    EXPECT_EQ(*ReadFile(folder_ / "f"), content);
    const std::string large(1'000'000, 'x');
    ASSERT_TRUE(WriteFileAtomically(folder_ / "f", large).ok());
    EXPECT_EQ(*ReadFile(folder_ / "f"), large);
    ASSERT_TRUE(WriteFileAtomically(folder_ / "f", "").ok());
    EXPECT_EQ(*ReadFile(folder_ / "f"), "");
}

TEST_F(FileTest, LeavesOnlyTheFileWithTheModeAskedFor) {
    ASSERT_TRUE(WriteFileAtomically(folder_ / "f.new", "left over by a crash", 0666).ok());
    ASSERT_TRUE(WriteFileAtomically(folder_ / "f", "new", 0600).ok());
    EXPECT_EQ(ModeOf(folder_ / "f"), 0600U);
    EXPECT_FALSE(std::filesystem::exists(folder_ / "f.new"));
}

TEST_F(FileTest, FailedWriteKeepsTheOldContent) {
    std::filesystem::create_directory(folder_ / "taken");
    ASSERT_TRUE(WriteFileAtomically(folder_ / "taken" / "f", "old").ok());
    // A folder cannot be replaced by a file.
    EXPECT_FALSE(WriteFileAtomically(folder_ / "taken", "new").ok());
    EXPECT_EQ(*ReadFile(folder_ / "taken" / "f"), "old");
    EXPECT_FALSE(std::filesystem::exists(folder_ / "taken.new"));
}

TEST_F(FileTest, ErrorsNameThePath) {
    const absl::Status missing = ReadFile(folder_ / "absent").status();
    EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
    EXPECT_NE(Describe(missing).find("absent"), std::string::npos);
    const absl::Status nowhere = WriteFileAtomically(folder_ / "no" / "such" / "f", "x");
    EXPECT_EQ(nowhere.code(), absl::StatusCode::kNotFound);
    const absl::Status folder = ReadFile(folder_).status();
    EXPECT_EQ(folder.code(), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace millrace::base
