#include "base/log.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "base/status.h"

namespace millrace::base {
namespace {

class LogTest : public testing::Test {
 protected:
    void TearDown() override { ASSERT_TRUE(InitLogging("info", "text").ok()); }

    template <typename Write>
    static std::string Captured(Write&& write) {
        testing::internal::CaptureStderr();
        write();
        return testing::internal::GetCapturedStderr();
    }
};

TEST_F(LogTest, JsonLineParsesBackWhateverIsInIt) {
    ASSERT_TRUE(InitLogging("info", "json").ok());
    const std::string nasty = "a\"b\\c\nd\xff\x01";
    const std::string line = Captured([&] {
        LogInfo("table is live", {{"table", nasty}, {"rows", 12}, {"ok", true}});
    });
    ASSERT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
    const auto json = nlohmann::json::parse(line);
    EXPECT_EQ(json["level"], "info");
    EXPECT_EQ(json["msg"], "table is live");
    EXPECT_EQ(json["table"], "a\"b\\c\nd\xEF\xBF\xBD\x01");
    EXPECT_EQ(json["rows"], "12");
    EXPECT_EQ(json["ok"], "true");
    EXPECT_EQ(json["ts"].get<std::string>().size(), std::string("2026-01-01T00:00:00.000000Z").size());
}

TEST_F(LogTest, JsonFieldCannotPoseAsTheMessage) {
    ASSERT_TRUE(InitLogging("info", "json").ok());
    const auto json = nlohmann::json::parse(Captured([] { LogInfo("real", {{"msg", "forged"}}); }));
    EXPECT_EQ(json["msg"], "real");
    EXPECT_EQ(json["field_msg"], "forged");
}

TEST_F(LogTest, TextLineQuotesOnlyWhatNeedsIt) {
    ASSERT_TRUE(InitLogging("info", "text").ok());
    const std::string line = Captured([] {
        LogWarning("table held", {{"table", "public.orders"}, {"why", "no \"room\"\nleft"}, {"empty", ""}});
    });
    EXPECT_NE(
        line.find(" warning table held table=public.orders why=\"no \\\"room\\\"\\nleft\" empty=\"\"\n"),
        std::string::npos)
        << line;
}

TEST_F(LogTest, MessageCannotBreakTheLine) {
    ASSERT_TRUE(InitLogging("info", "text").ok());
    const std::string line = Captured([] { LogInfo("one\ntwo"); });
    EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
}

TEST_F(LogTest, LevelsBelowTheSetOneAreSilent) {
    ASSERT_TRUE(InitLogging("warning", "text").ok());
    EXPECT_EQ(Captured([] { LogInfo("hidden"); }), "");
    EXPECT_NE(Captured([] { LogError("shown"); }), "");
    ASSERT_TRUE(InitLogging("debug", "text").ok());
    EXPECT_NE(Captured([] { LogDebug("shown"); }), "");
}

TEST_F(LogTest, StatusFieldDescribesErrorAndRemedy) {
    ASSERT_TRUE(InitLogging("info", "json").ok());
    const auto json = nlohmann::json::parse(Captured([] {
        LogError("cannot start",
                 {LogField(MakeError(absl::StatusCode::kUnavailable, "NET_TCP", "no answer", "Start it."))});
    }));
    EXPECT_EQ(json["error"], "no answer. Start it.");
}

TEST_F(LogTest, PercentSignsAndBracesAreText) {
    ASSERT_TRUE(InitLogging("info", "text").ok());
    EXPECT_NE(Captured([] { LogInfo("100% {} {0} %v"); }).find("100% {} {0} %v\n"), std::string::npos);
}

TEST_F(LogTest, UnknownWordsAreRefusedWithTheAllowedOnes) {
    const absl::Status level = InitLogging("loud", "text");
    EXPECT_EQ(level.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(Describe(level).find("debug, info, warning or error"), std::string::npos);
    const absl::Status form = InitLogging("info", "xml");
    EXPECT_EQ(form.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(Describe(form).find("auto, text or json"), std::string::npos);
}

}  // namespace
}  // namespace millrace::base
