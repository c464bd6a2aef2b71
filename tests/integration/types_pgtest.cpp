// Sends values of every type from a real PostgreSQL through the replication stream into a real PostgreSQL and
// a real DuckDB file, compares what arrives, and keeps docs/types.md true: it is what this test prints. To
// write it anew: MILLRACE_UPDATE_DOCS=1 build/tests/types_pgtest

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <sstream>

#include "base/status.h"
#include "connectors/duckdb/destination.h"
#include "connectors/postgres/destination_test_kit.h"
#include "connectors/postgres/source_fixture.h"
#include "connectors/sdk/testing/batch_builder.h"
#include "tests/integration/type_samples.h"

namespace millrace {
namespace {

using Text = std::optional<std::string>;

/// What came of one value.
struct Outcome final {
    Text source;
    Text postgres;
    Text duckdb;
    Text duckdb_letter;
};

/// What came of one type.
struct Column final {
    const integration::TypeSample* sample = nullptr;
    std::string postgres_type;
    std::string duckdb_type;
    std::vector<Outcome> values;
};

/// Keeps the rows of a stream by table.
class Rows final : public sdk::ChangeHandler {
 public:
    absl::Status OnChange(const sdk::ChangeEvent& event) override {
        sdk::testing::TestRow row;
        for (const sdk::Cell& cell : event.after) {
            row.push_back(cell.is_null() ? sdk::testing::TestCell(nullptr)
                                         : sdk::testing::TestCell(std::string(cell.text())));
        }
        schemas[event.schema->table] = event.schema;
        rows[event.schema->table].push_back(std::move(row));
        return absl::OkStatus();
    }
    absl::Status OnCommit(uint64_t /*commit*/, uint64_t end, int64_t /*commit_time_us*/) override {
        last_end = end;
        return absl::OkStatus();
    }
    absl::Status OnProgress(uint64_t /*position*/) override { return absl::OkStatus(); }

    std::map<std::string, sdk::SchemaPtr> schemas;
    std::map<std::string, std::vector<sdk::testing::TestRow>> rows;
    uint64_t last_end = 0;
};

class Types : public postgres::SourceTest {
 protected:
    Types() {
        std::string folder = (std::filesystem::temp_directory_path() / "millrace_types_XXXXXX").string();
        EXPECT_NE(mkdtemp(folder.data()), nullptr);
        folder_ = folder;
        file_ = files_.Get(folder_ + "/types.duckdb", {});
        duckdb_ = std::make_unique<duckdb::DuckDbDestination>(file_);
        Sql(integration::kTypeDefinitions);
        target_.Execute(integration::kTypeDefinitions);
    }
    ~Types() override {
        duckdb_.reset();
        file_.reset();
        std::error_code error;
        std::filesystem::remove_all(folder_, error);
    }

    std::vector<std::vector<Text>> InDuckDb(const std::string& sql) {
        duckdb::FileSessions sessions(file_);
        auto session = sessions.Acquire();
        EXPECT_TRUE(session.ok()) << base::Describe(session.status());
        auto rows = (*session)->Query(sql);
        EXPECT_TRUE(rows.ok()) << base::Describe(rows.status()) << ": " << sql;
        return rows.ok() ? *rows : std::vector<std::vector<Text>>();
    }

    static void Apply(sdk::Destination& destination, const Rows& stream, const std::string& table) {
        const auto writer = postgres::OpenWriter(destination, *stream.schemas.at(table));
        sdk::testing::BatchBuilder builder(stream.schemas.at(table));
        for (const auto& row : stream.rows.at(table)) {
            builder.Full(row);
        }
        sdk::Batch batch = builder.Build(0, 1);
        batch.refused = sdk::RefusedValues::kDeadLetter;
        const auto applied = writer->Apply(batch);
        EXPECT_TRUE(applied.ok()) << table << ": " << base::Describe(applied.status());
    }

    /// Every sample, through the stream, into both destinations.
    std::vector<Column> Replicate() {
        std::vector<Column> columns;
        const auto& samples = integration::TypeSamples();
        for (size_t i = 0; i < samples.size(); ++i) {
            Sql(base::Concat("CREATE TABLE t", i, " (id integer PRIMARY KEY, v ", samples[i].type, ")"));
        }
        const auto source = StartedSource();
        for (size_t i = 0; i < samples.size(); ++i) {
            std::string values;
            for (size_t v = 0; v < samples[i].values.size(); ++v) {
                base::Append(values, v == 0 ? "" : ", ", "(", v, ", ",
                             base::QuoteLiteral(samples[i].values[v]), "::", samples[i].type, ")");
            }
            Sql(base::Concat("INSERT INTO t", i, " VALUES ", values));
        }
        Rows stream;
        const auto end = source->CurrentPosition();
        EXPECT_TRUE(end.ok() && source->Heartbeat().ok());
        while (stream.last_end <= *end && source->Poll(stream, std::chrono::milliseconds(100), 1000).ok()) {
        }
        for (size_t i = 0; i < samples.size(); ++i) {
            const std::string table = base::Concat("t", i);
            Apply(*postgres_, stream, table);
            Apply(*duckdb_, stream, table);
            columns.push_back(Look(samples[i], table));
        }
        return columns;
    }

    Column Look(const integration::TypeSample& sample, const std::string& table) {
        const std::string type_of = base::Concat(
            "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attname = 'v' AND attrelid = "
            "'public.",
            table, "'::regclass");
        const std::string values = base::Concat("SELECT v FROM public.", table, " ORDER BY id");
        target_.Execute("SET timezone = 'UTC'; SET lc_monetary = 'C'; SET search_path = pg_catalog");
        Sql("SET timezone = 'UTC'; SET lc_monetary = 'C'; SET search_path = pg_catalog");
        Column column{.sample = &sample, .postgres_type = {}, .duckdb_type = {}, .values = {}};
        column.postgres_type = *target_.Query(type_of)[0][0];
        EXPECT_EQ(column.postgres_type, Sql(type_of)) << "the same type";
        column.duckdb_type = *InDuckDb(
            base::Concat("SELECT data_type FROM duckdb_columns() WHERE column_name = 'v' AND table_name = '",
                         table, "'"))[0][0];
        const auto in_postgres = target_.Query(values);
        const auto in_duckdb =
            InDuckDb(base::Concat("SELECT v::VARCHAR FROM public.", table, " ORDER BY id"));
        EXPECT_EQ(in_postgres.size(), sample.values.size()) << sample.type;
        EXPECT_EQ(in_duckdb.size(), sample.values.size()) << sample.type;
        std::map<Text, Text> letters;
        for (const auto& row : InDuckDb(
                 base::Concat("SELECT key_text, value_text FROM _millrace.dead_letters WHERE table_name = '",
                              table, "'"))) {
            letters[row[0]] = row[1];
        }
        for (size_t v = 0; v < sample.values.size(); ++v) {
            const auto letter = letters.find(base::Concat("{\"id\":\"", v, "\"}"));
            column.values.push_back(
                {.source = Sql(base::Concat("SELECT v FROM public.", table, " WHERE id = ", v)),
                 .postgres = in_postgres[v][0],
                 .duckdb = in_duckdb[v][0],
                 .duckdb_letter = letter == letters.end() ? Text() : letter->second});
        }
        return column;
    }

    testing_support::PostgresDatabase target_;
    std::unique_ptr<sdk::Destination> postgres_ = postgres::OpenDestination(target_.parameters());
    std::string folder_;
    duckdb::DatabaseFiles files_;
    std::shared_ptr<duckdb::DatabaseFile> file_;
    std::unique_ptr<sdk::Destination> duckdb_;
};

std::string Code(const std::string& text) {
    if (text.empty()) {
        return "(empty)";
    }
    std::string out = "`";
    for (const char c : text.size() > 60 ? text.substr(0, 57) + "..." : text) {
        out += c == '\n'   ? std::string("\\n")
               : c == '\t' ? std::string("\\t")
               : c == '|'  ? "\\|"
                           : std::string(1, c);
    }
    return out + "`";
}

std::string Document(const std::vector<Column>& columns) {
    std::ostringstream out;
    out << integration::kTypesIntroduction;
    out << "| PostgreSQL | in PostgreSQL | in DuckDB | what DuckDB cannot hold |\n|---|---|---|---|\n";
    for (const Column& column : columns) {
        std::string letters;
        for (const Outcome& value : column.values) {
            if (value.duckdb_letter) {
                letters += (letters.empty() ? "" : ", ") + Code(*value.duckdb_letter);
            }
        }
        out << "| " << column.sample->type << " | " << column.postgres_type << " | " << column.duckdb_type
            << " | " << letters << " |\n";
    }
    out << integration::kValuesIntroduction;
    out << "| type | value | as DuckDB writes it |\n|---|---|---|\n";
    for (const Column& column : columns) {
        for (const Outcome& value : column.values) {
            out << "| " << column.sample->type << " | " << Code(*value.source) << " | "
                << (value.duckdb_letter            ? "(dead letter)"
                    : value.duckdb == value.source ? "the same"
                                                   : Code(value.duckdb.value_or("NULL")))
                << " |\n";
        }
    }
    return out.str();
}

TEST_F(Types, EveryValueArrivesAndTheDocumentSaysHow) {
    const std::vector<Column> columns = Replicate();
    for (const Column& column : columns) {
        for (const Outcome& value : column.values) {
            EXPECT_EQ(value.postgres, value.source) << column.sample->type;
            // Held, or kept with its text, never both and never neither.
            EXPECT_NE(value.duckdb.has_value(), value.duckdb_letter.has_value())
                << column.sample->type << ": " << *value.source;
            if (column.duckdb_type == "VARCHAR" && value.duckdb) {
                EXPECT_EQ(value.duckdb, value.source) << column.sample->type;
            }
        }
    }
    EXPECT_THAT(target_.Query("SELECT table_name, key_text, value_text, reason FROM _millrace.dead_letters"),
                ::testing::IsEmpty());
    const std::string document = Document(columns);
    const std::string path = std::string(MILLRACE_SOURCE_ROOT) + "/docs/types.md";
    if (std::getenv("MILLRACE_UPDATE_DOCS") != nullptr) {
        std::ofstream(path) << document;
    }
    std::ifstream file(path);
    const std::string present((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    EXPECT_EQ(present, document) << "docs/types.md is out of date: run this test with MILLRACE_UPDATE_DOCS=1";
}

}  // namespace
}  // namespace millrace
