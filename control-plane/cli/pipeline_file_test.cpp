#include "control-plane/cli/pipeline_file.h"

#include <gtest/gtest.h>

#include "base/status.h"

namespace millrace::cli {
namespace {

constexpr char kWhole[] = R"(
name: shop
source: {url: "postgres://u@db/shop", secrets: {password: "env:PW"}}
destination: {type: duckdb, options: {path: /tmp/shop.duckdb}}
tables: [public.*]
exclude: [public.audit]
keys: {public.orders: orders_code_key, "Odd.one.t": k}
refused_values: text
dropped_columns: drop
codec: debezium-json
flush: {rows: 500, bytes: 1048576, seconds: 2.5}
state: paused
)";

std::string ErrorOf(const std::string& text) {
    const auto file = ParsePipelineFile("shop.yaml", text);
    return file.ok() ? "" : base::ReasonOf(file.status()) + ": " + std::string(file.status().message());
}

TEST(PipelineFile, ReadsEveryField) {
    const auto file = ParsePipelineFile("shop.yaml", kWhole);
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(file->name, "shop");
    EXPECT_EQ(file->source.url, "postgres://u@db/shop");
    EXPECT_EQ(file->source.secrets.at("password").Reveal(), "env:PW");
    EXPECT_EQ(file->destination.type, "duckdb");
    EXPECT_EQ(file->destination.options.at("path"), "/tmp/shop.duckdb");
    EXPECT_EQ(file->tables, std::vector<std::string>{"public.*"});
    EXPECT_EQ(file->exclude, std::vector<std::string>{"public.audit"});
    EXPECT_EQ(file->keys, (std::map<std::string, std::string>{{"public.orders", "orders_code_key"}, {"Odd.one.t", "k"}}));
    EXPECT_EQ(file->refused_values, "text");
    EXPECT_EQ(file->dropped_columns, "drop");
    EXPECT_EQ(file->codec, "debezium-json");
    EXPECT_EQ(file->flush_rows, 500);
    EXPECT_EQ(file->flush_bytes, 1048576);
    EXPECT_DOUBLE_EQ(file->flush_seconds, 2.5);
    EXPECT_TRUE(file->paused);
}

TEST(PipelineFile, ReadsBackfillRules) {
    const auto text = [](const std::string& rules) {
        return "name: shop\nsource: {url: a}\ndestination: {url: b}\nbackfill: {" + rules + "}\n";
    };
    const auto file = ParsePipelineFile(
        "shop.yaml", text("connections: 2, chunk_rows: 100, rows_per_second: 5000, bytes_per_second: 1000000"));
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(file->backfill_connections, 2);
    EXPECT_EQ(file->backfill_chunk_rows, 100);
    EXPECT_EQ(file->backfill_rows_per_second, 5000);
    EXPECT_EQ(file->backfill_bytes_per_second, 1000000);
    for (const char* bad : {"connections: -1", "connections: 33", "chunk_rows: -5", "rows: 5", "chunk_rows: many"}) {
        EXPECT_FALSE(ParsePipelineFile("shop.yaml", text(bad)).ok()) << bad;
    }
}

TEST(PipelineFile, ReadsColumnRules) {
    const auto file = ParsePipelineFile("shop.yaml", R"(
name: shop
source: {url: a}
destination: {url: b}
columns:
  - {table: public.people, exclude: [ssn], hash: [email, phone]}
  - {table: "sales.*", include: [id]}
)");
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_EQ(file->columns.size(), 2U);
    EXPECT_EQ(file->columns[0].table, "public.people");
    EXPECT_EQ(file->columns[0].exclude, std::vector<std::string>{"ssn"});
    EXPECT_EQ(file->columns[0].hash, (std::vector<std::string>{"email", "phone"}));
    EXPECT_EQ(file->columns[1].include, std::vector<std::string>{"id"});
    EXPECT_NE(ErrorOf("name: shop\ncolumns: {table: a.b}").find("'columns' is a list"), std::string::npos);
    EXPECT_NE(ErrorOf("name: shop\ncolumns: [{hash: [a]}]").find("has no 'table'"), std::string::npos);
    EXPECT_NE(ErrorOf("name: shop\ncolumns: [{table: a.b, mask: [a]}]").find("'columns.mask'"),
              std::string::npos);
}

TEST(PipelineFile, SaysWhatIsWrong) {
    EXPECT_EQ(ErrorOf("- a"), "FILE_INVALID: shop.yaml: the file is not a mapping");
    EXPECT_EQ(ErrorOf("nmae: shop"), "FILE_INVALID: shop.yaml: unknown field 'nmae'");
    EXPECT_EQ(ErrorOf("name: shop"), "FILE_INVALID: shop.yaml: 'source' needs either 'url' or 'type'");
    EXPECT_NE(ErrorOf("name: shop\ncodec: avro").find("'codec' is"), std::string::npos);
    EXPECT_NE(ErrorOf("name: shop\nflush: {rows: many}").find("line 2"), std::string::npos);
    for (const char* flush :
         {"{seconds: .inf}", "{seconds: .nan}", "{seconds: -1}", "{rows: -1}", "{bytes: -5}"}) {
        EXPECT_NE(ErrorOf(std::string("name: shop\nflush: ") + flush).find("not negative"), std::string::npos)
            << flush;
    }
    EXPECT_NE(ErrorOf("name: shop\nkeys: [public.orders]").find("line 2"), std::string::npos);
    EXPECT_NE(ErrorOf("name: [").find("FILE_INVALID"), std::string::npos);
}

}  // namespace
}  // namespace millrace::cli
