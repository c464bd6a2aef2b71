#include "control-plane/api/errors.h"

#include <gtest/gtest.h>

#include "base/status.h"
#include "control-plane/api/access.h"
#include "control-plane/api/paging.h"

namespace millrace::api {
namespace {

TEST(Errors, TextSurvivesMetadata) {
    for (const std::string text : {"", "plain text.", "100% größer – \n\t\x01", "%41", "a%", "%4"}) {
        const std::string encoded = EncodeMetadataText(text, 1000);
        for (const char c : encoded) {
            EXPECT_TRUE(c >= 0x20 && c <= 0x7E);
        }
        EXPECT_EQ(DecodeMetadataText(encoded), text);
    }
    EXPECT_EQ(DecodeMetadataText("a%zz%4"), "a%zz%4");
}

TEST(Errors, TextIsCutAtAWholeCharacter) {
    EXPECT_EQ(EncodeMetadataText("abc", 2), "ab");
    EXPECT_EQ(EncodeMetadataText("aß", 7), "a%C3%9F");
    EXPECT_EQ(EncodeMetadataText("aß", 6), "a");
    EXPECT_EQ(EncodeMetadataText("\xC3", 10), "%C3");
}

TEST(Errors, ThePartsGiveTheErrorBack) {
    const auto error = ErrorFromWire(9, "It is so. Do this.", "WAL_LEVEL", "Do this.");
    EXPECT_EQ(error.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(std::string(error.message()), "It is so.");
    EXPECT_EQ(base::ReasonOf(error), "WAL_LEVEL");
    EXPECT_EQ(base::RemedyOf(error), "Do this.");
    EXPECT_TRUE(ErrorFromWire(0, "", "", "").ok());
    EXPECT_EQ(std::string(ErrorFromWire(14, "Gone.", "", "").message()), "Gone.");
}

TEST(Access, TakesTheRightTokenAlone) {
    const base::Secret token("0123456789abcdef");
    EXPECT_TRUE(CheckToken("Bearer 0123456789abcdef", token).ok());
    for (const char* wrong :
         {"Bearer 0123456789abcdeF", "Bearer 0123456789abcde", "Bearer 0123456789abcdef0", "Bearer "}) {
        EXPECT_EQ(base::ReasonOf(CheckToken(wrong, token)), "TOKEN_WRONG") << wrong;
    }
    for (const char* missing : {"", "Basic 0123456789abcdef", "0123456789abcdef"}) {
        EXPECT_EQ(base::ReasonOf(CheckToken(missing, token)), "TOKEN_MISSING") << missing;
    }
    EXPECT_TRUE(CheckToken("", base::Secret()).ok());
}

TEST(Paging, TokensBelongToTheirList) {
    const std::string token = MakePageToken("pipeline", "tenants/a", "tenants/a/pipelines/p");
    const auto request = ReadPageRequest("pipeline", "tenants/a", 5000, token);
    ASSERT_TRUE(request.ok());
    EXPECT_EQ(request->limit, 1000U);
    EXPECT_EQ(request->after, "tenants/a/pipelines/p");
    EXPECT_EQ(ReadPageRequest("pipeline", "tenants/a", 0, "")->limit, 50U);
    EXPECT_FALSE(ReadPageRequest("pipeline", "tenants/b", 0, token).ok());
    EXPECT_FALSE(ReadPageRequest("connector", "tenants/a", 0, token).ok());
    EXPECT_FALSE(ReadPageRequest("pipeline", "tenants/a", 0, "???").ok());
}

}  // namespace
}  // namespace millrace::api
