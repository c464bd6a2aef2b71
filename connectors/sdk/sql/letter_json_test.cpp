#include "connectors/sdk/sql/letter_json.h"

#include <gtest/gtest.h>

#include "connectors/sdk/sql/dead_letters.h"

namespace millrace::sql {
namespace {

TEST(LetterJson, ReadsBackWhatWasWritten) {
    for (const std::string text :
         {"", "plain", "a \"quote\" and a \\", "line\nand\ttab", "grüße €", "\xF0\x9F\x98\x80", "no \xFF utf-8 \x80"}) {
        EXPECT_EQ(ReadJsonText(JsonText(text)), text);
    }
    const JsonMembers members{{"id", "4\"2"}, {"note", std::nullopt}, {"ö", "\xFF"}};
    EXPECT_EQ(ReadJsonMembers(WriteJsonMembers(members)), members);
    EXPECT_EQ(ReadJsonMembers("{}"), JsonMembers{});
}

TEST(LetterJson, RefusesWhatIsNone) {
    for (const char* text : {"", "\"", "\"a", "a", "\"a\"b", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"", "\"\\udfff\"", "1"}) {
        EXPECT_FALSE(ReadJsonText(text)) << text;
    }
    for (const char* text : {"", "{", "{\"a\"}", "{\"a\":1}", "{\"a\":\"b\",}", "{\"a\":\"b\"\"c\":null}", "{} "}) {
        EXPECT_FALSE(ReadJsonMembers(text)) << text;
    }
}

}  // namespace
}  // namespace millrace::sql
