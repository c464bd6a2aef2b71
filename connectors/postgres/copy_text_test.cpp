#include "connectors/postgres/copy_text.h"

#include <gtest/gtest.h>

#include "connectors/sdk/testing/batch_builder.h"

namespace millrace::postgres {
namespace {

using sdk::testing::BatchBuilder;
using sdk::testing::kUnchanged;
using sdk::testing::MakeColumn;
using sdk::testing::MakeSchema;
using Origin = sql::LoadColumn::Origin;

std::string Escaped(std::string_view text) {
    std::string out;
    AppendCopyText(out, text);
    return out;
}

TEST(CopyText, EscapesWhatTheFormatGivesAMeaning) {
    EXPECT_EQ(Escaped(""), "");
    EXPECT_EQ(Escaped("plain 'quoted' \"text\""), "plain 'quoted' \"text\"");
    EXPECT_EQ(Escaped("\t\n\r\\"), "\\t\\n\\r\\\\");
    EXPECT_EQ(Escaped("a\tb\\N"), "a\\tb\\\\N");
    EXPECT_EQ(Escaped("\\."), "\\\\.");
    EXPECT_EQ(Escaped("\xC3\xA4\x01"), "\xC3\xA4\x01");
}

TEST(CopyText, EscapesAtEveryPlaceOfATextOfEveryLength) {
    for (const char special : {'\\', '\t', '\n', '\r', '\b', '\x0b', '\0', 'x', '\x7f', '\xdc', '\x89'}) {
        const std::string_view escape = special == '\\'   ? "\\\\"
                                        : special == '\t' ? "\\t"
                                        : special == '\n' ? "\\n"
                                        : special == '\r' ? "\\r"
                                                          : std::string_view(&special, 1);
        for (size_t length = 1; length <= 26; ++length) {
            for (size_t at = 0; at < length; ++at) {
                std::string text(length, 'a');
                text[at] = special;
                std::string expected(length - 1, 'a');
                expected.insert(at, escape);
                EXPECT_EQ(Escaped(text), expected) << "length " << length << ", at " << at;
            }
        }
    }
    EXPECT_EQ(Escaped(std::string(40, '\\')), std::string(80, '\\'));
}

TEST(CopyText, WritesEveryOrigin) {
    const auto schema = MakeSchema("t", {MakeColumn("id", "bigint", 1), MakeColumn("v", "text")});
    const sdk::Batch batch = BatchBuilder(schema)
                                 .Full({"1", nullptr})
                                 .Moved({"7"}, {"2", kUnchanged})
                                 .Gone({"3"})
                                 .Full({"4", "a\tb"})
                                 .Build(0, 4);
    sql::LoadTable table;
    table.columns = {{.name = "n", .type = "integer", .origin = Origin::kRowNumber},
                     {.name = "gone", .type = "boolean", .origin = Origin::kGone},
                     {.name = "k0", .type = "bigint", .origin = Origin::kSourceKey},
                     {.name = "u0", .type = "boolean", .origin = Origin::kUnchanged, .index = 1},
                     {.name = "c1", .type = "text", .origin = Origin::kCell, .index = 1}};
    std::string out;
    for (size_t row = 0; row < batch.rows.size(); ++row) {
        AppendCopyRow(out, table, batch, row);
    }
    EXPECT_EQ(out,
              "0\tf\t1\tf\t\\N\n"
              "1\tf\t7\tt\t\\N\n"
              "2\tt\t3\tf\t\\N\n"
              "3\tf\t4\tf\ta\\tb\n");
}

}  // namespace
}  // namespace millrace::postgres
