#include "control-plane/control_flags.h"

#include <gtest/gtest.h>

#include <vector>

namespace millrace {
namespace {

std::optional<int> Parse(std::vector<const char*> arguments, ControlFlags& flags) {
    arguments.insert(arguments.begin(), "millrace-control");
    return ParseControlFlags(static_cast<int>(arguments.size()), arguments.data(), flags);
}

TEST(ControlFlags, NeedsBothTokensOrTheWordThatNobodyIsAsked) {
    ControlFlags flags;
    testing::internal::CaptureStderr();
    EXPECT_EQ(Parse({"--token-file", "a"}, flags), 2);
    EXPECT_NE(testing::internal::GetCapturedStderr().find("openssl rand"), std::string::npos);
    flags = {};
    EXPECT_EQ(Parse({"--token-file", "a", "--plane-token-file", "b"}, flags), std::nullopt);
    EXPECT_EQ(flags.plane_token_file, "b");
    EXPECT_EQ(flags.listen, "127.0.0.1:7443");
    flags = {};
    EXPECT_EQ(Parse({"--insecure-no-auth"}, flags), std::nullopt);
    flags = {};
    EXPECT_EQ(Parse({"--insecure-no-auth", "--token-file", "a"}, flags), 2);
}

TEST(ControlFlags, RefusesWhatCannotWork) {
    for (const std::vector<const char*>& wrong :
         std::vector<std::vector<const char*>>{{"--listen", "7443"},
                                               {"--listen", "localhost:x"},
                                               {"--admin-listen", "127.0.0.1:"},
                                               {"--tls-cert", "c.pem"},
                                               {"--tenant", "Not A Name"},
                                               {"--heartbeat-ms", "1"},
                                               {"--nothing"}}) {
        ControlFlags flags;
        std::vector<const char*> arguments = {"--insecure-no-auth"};
        arguments.insert(arguments.end(), wrong.begin(), wrong.end());
        EXPECT_EQ(Parse(arguments, flags), 2) << wrong.front();
    }
}

TEST(ControlFlags, HelpAndVersionEndWell) {
    ControlFlags flags;
    testing::internal::CaptureStdout();
    EXPECT_EQ(Parse({"--help"}, flags), 0);
    EXPECT_NE(testing::internal::GetCapturedStdout().find("--plane-token-file"), std::string::npos);
    testing::internal::CaptureStdout();
    EXPECT_EQ(Parse({"--version"}, flags), 0);
    EXPECT_EQ(testing::internal::GetCapturedStdout().find("millrace-control "), 0U);
}

TEST(ControlFlags, TakesAddressesApart) {
    EXPECT_EQ(ParseListenAddress("127.0.0.1:7443")->port, 7443);
    EXPECT_EQ(ParseListenAddress("[::1]:0")->host, "::1");
    EXPECT_FALSE(ParseListenAddress(":1").has_value());
    EXPECT_FALSE(ParseListenAddress("a:70000").has_value());
    EXPECT_FALSE(ParseListenAddress("a:1x").has_value());
}

}  // namespace
}  // namespace millrace
