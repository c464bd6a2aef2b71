// Sends values of every type from a real PostgreSQL through the replication stream into a real PostgreSQL and
// a real DuckDB file, compares what arrives, and keeps docs/types.md true: it is what this test prints. To
// write it anew: MILLRACE_UPDATE_DOCS=1 build/tests/types_pgtest

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
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
    std::string id;
    Text source;
    Text postgres;
    Text duckdb;
    Text duckdb_letter;
};

/// What came of one type.
struct Column final {
    const integration::TypeSample* sample = nullptr;
    std::string table;
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

    /// Some types that only the server makes values of have none.
    static bool HasArray(const integration::TypeSample& sample) {
        return !sample.values.empty() && !sample.type.ends_with("[]");
    }

    /// Each value alone and in an array of two dimensions with bounds of its own, and NULL. A type that is NOT NULL has
    /// none.
    void Insert(size_t i, int first_id) {
        const integration::TypeSample& sample = integration::TypeSamples()[i];
        for (size_t v = 0; v < sample.values.size(); ++v) {
            const std::string value = base::Concat(base::QuoteLiteral(sample.values[v]), "::", sample.type);
            Sql(base::Concat("INSERT INTO t", i, " VALUES (", first_id + static_cast<int>(v), ", ", value,
                             HasArray(sample)
                                 ? base::Concat(", ('[0:1][-1:0]=' || ARRAY[[", value, ", ", NullOf(sample),
                                                "],[", value, ", ", value, "]]::text)::", sample.type, "[]")
                                 : std::string(),
                             ")"));
        }
        Sql(base::Concat("INSERT INTO t", i, " VALUES (", first_id + kNullId, ", ", NullOf(sample), ")"));
    }

    static std::string NullOf(const integration::TypeSample& sample) {
        return sample.type == "public.present" ? "0::public.present" : base::Concat("NULL::", sample.type);
    }

    /// Every sample, through a first copy and through the stream, into both destinations.
    std::vector<Column> Replicate() {
        std::vector<Column> columns;
        const auto& samples = integration::TypeSamples();
        for (size_t i = 0; i < samples.size(); ++i) {
            Sql(base::Concat("CREATE TABLE t", i, " (id integer PRIMARY KEY, v ", samples[i].type,
                             HasArray(samples[i]) ? base::Concat(", a ", samples[i].type, "[]") : "", ")"));
            Insert(i, kCopied);
        }
        const auto source = NewSource();
        const auto tables = source->ListTables({.tables = {"*.*"}, .exclude = {}});
        EXPECT_TRUE(tables.ok() && source->Prepare(*tables).ok());
        const auto begun = source->BeginCopy(true, std::chrono::minutes(2));
        EXPECT_TRUE(begun.ok()) << base::Describe(begun.status());
        Rows stream;
        for (const sdk::SourceTable& table : *tables) {
            EXPECT_TRUE(source->CopyTable(table, 1, stream).ok()) << table.table;
        }
        const std::map<std::string, sdk::SchemaPtr> copied = stream.schemas;
        EXPECT_TRUE(source->EndCopy().ok() && source->Start(*begun).ok());
        for (size_t i = 0; i < samples.size(); ++i) {
            Insert(i, kStreamed);
        }
        const auto end = source->CurrentPosition();
        EXPECT_TRUE(end.ok() && source->Heartbeat().ok());
        while (stream.last_end <= *end && source->Poll(stream, std::chrono::milliseconds(100), 1000).ok()) {
        }
        for (size_t i = 0; i < samples.size(); ++i) {
            const std::string table = base::Concat("t", i);
            EXPECT_EQ(copied.at(table)->id, stream.schemas.at(table)->id) << samples[i].type;
            Apply(*postgres_, stream, table);
            Apply(*duckdb_, stream, table);
            columns.push_back(Look(samples[i], table));
        }
        return columns;
    }

    /// Texts of one column by id, at the source, in PostgreSQL and in DuckDB.
    struct Texts final {
        std::map<std::string, Text> source;
        std::map<std::string, Text> postgres;
        std::map<std::string, Text> duckdb;
    };
    Texts Read(const std::string& table, const std::string& column) {
        const auto by_id = [](const std::vector<std::vector<Text>>& rows) {
            std::map<std::string, Text> texts;
            for (const auto& row : rows) {
                texts[*row[0]] = row[1];
            }
            return texts;
        };
        const std::string query = base::Concat("SELECT id, ", column, " FROM public.", table);
        Texts texts;
        const auto rows = session_->Execute(query);
        EXPECT_TRUE(rows.ok()) << base::Describe(rows.status());
        for (int row = 0; row < rows->rows(); ++row) {
            texts.source[std::string(rows->Get(row, 0))] =
                rows->IsNull(row, 1) ? Text() : Text(std::string(rows->Get(row, 1)));
        }
        texts.postgres = by_id(target_.Query(query));
        texts.duckdb =
            by_id(InDuckDb(base::Concat("SELECT id, ", column, "::VARCHAR FROM public.", table)));
        return texts;
    }

    std::string TypeAtTarget(const std::string& table, const std::string& column) {
        return *target_.Query(base::Concat(
            "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attname = '", column,
            "' AND attrelid = 'public.", table, "'::regclass"))[0][0];
    }

    Column Look(const integration::TypeSample& sample, const std::string& table) {
        target_.Execute("SET timezone = 'UTC'; SET lc_monetary = 'C'; SET search_path = pg_catalog");
        Sql("SET timezone = 'UTC'; SET lc_monetary = 'C'; SET search_path = pg_catalog");
        Column column{.sample = &sample, .table = table, .postgres_type = {}, .duckdb_type = {}, .values = {}};
        column.postgres_type = TypeAtTarget(table, "v");
        EXPECT_EQ(column.postgres_type,
                  sample.elsewhere.empty()
                      ? Sql(base::Concat("SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attname = 'v' "
                                         "AND attrelid = 'public.",
                                         table, "'::regclass"))
                      : sample.elsewhere);
        column.duckdb_type = *InDuckDb(
            base::Concat("SELECT data_type FROM duckdb_columns() WHERE column_name = 'v' AND table_name = '",
                         table, "'"))[0][0];
        std::map<Text, Text> letters;
        for (const auto& row : InDuckDb(
                 base::Concat("SELECT key_text, value_text FROM _millrace.dead_letters WHERE table_name = '",
                              table, "'"))) {
            letters[row[0]] = row[1];
        }
        const auto letter_of = [&](const std::string& id) {
            const auto letter = letters.find(base::Concat("{\"id\":\"", id, "\"}"));
            return letter == letters.end() ? Text() : letter->second;
        };
        const Texts texts = Read(table, "v");
        EXPECT_EQ(texts.postgres, texts.source) << sample.type;
        EXPECT_EQ(texts.source.size(), 2 * (sample.values.size() + 1)) << sample.type;
        EXPECT_EQ(texts.duckdb.size(), texts.source.size()) << sample.type;
        for (size_t v = 0; v < sample.values.size(); ++v) {
            const std::string id = base::Concat(kCopied + static_cast<int>(v));
            const std::string later = base::Concat(kStreamed + static_cast<int>(v));
            EXPECT_EQ(texts.source.at(id), texts.source.at(later)) << sample.type;
            EXPECT_EQ(texts.duckdb.at(id), texts.duckdb.at(later)) << sample.type << ": copy and stream";
            EXPECT_EQ(letter_of(id), letter_of(later)) << sample.type << ": copy and stream";
            column.values.push_back({.id = id,
                                     .source = texts.source.at(id),
                                     .postgres = texts.postgres.at(id),
                                     .duckdb = texts.duckdb.at(id),
                                     .duckdb_letter = letter_of(id)});
        }
        if (HasArray(sample)) {
            const Texts arrays = Read(table, "a");
            EXPECT_EQ(arrays.postgres, arrays.source) << sample.type << "[]";
            EXPECT_EQ(arrays.duckdb, arrays.source) << sample.type << "[]";
            EXPECT_EQ(TypeAtTarget(table, "a"),
                      sample.elsewhere.empty()
                          ? Sql(base::Concat("SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attname = "
                                             "'a' AND attrelid = 'public.",
                                             table, "'::regclass"))
                          : sample.elsewhere + "[]");
        }
        return column;
    }

    /// What DuckDB holds, read by PostgreSQL as the source's type and written again.
    std::string BackInPostgres(const Column& column, const Outcome& value) {
        std::string text = *value.duckdb;
        // DuckDB's text of bytes is not PostgreSQL's, and that of an offset with seconds is ambiguous; its values are not.
        if (column.duckdb_type == "BLOB") {
            return *InDuckDb(base::Concat("SELECT '\\x' || lower(hex(v)) FROM public.", column.table, " WHERE id = ",
                                          value.id))[0][0];
        }
        if (column.duckdb_type == "TIME WITH TIME ZONE") {
            const bool same = *InDuckDb(base::Concat("SELECT v = CAST('", *value.source,
                                                     "' AS TIMETZ) FROM public.", column.table, " WHERE id = ", value.id))[0][0] ==
                              "true";
            return same ? *value.source : text;
        }
        constexpr std::string_view kBefore = " (BC)";
        if (const size_t before = text.find(kBefore); before != std::string::npos) {
            text.erase(before, kBefore.size());
            text += " BC";
        }
        return Sql(base::Concat("SELECT ", base::QuoteLiteral(text), "::", column.sample->type));
    }

    static constexpr int kCopied = 0;
    static constexpr int kStreamed = 1000;
    static constexpr int kNullId = 500;

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
            if (value.duckdb) {
                EXPECT_EQ(BackInPostgres(column, value), *value.source) << column.sample->type << ": altered";
            }
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

TEST_F(Types, EveryTypeThatPostgresHasIsAmongTheSamples) {
    std::set<std::string> covered;
    for (const integration::TypeSample& sample : integration::TypeSamples()) {
        covered.insert(Sql(base::Concat("SELECT format_type('", sample.type == "\"char\"" ? "\"char\"" : sample.type,
                                        "'::regtype, NULL)")));
    }
    // Arrays of them, domains and row types are made of these.
    const auto types = session_->Execute(
        "SELECT format_type(oid, NULL) FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', "
        "'r', 'm', 'e', 'd') AND NOT (typelem <> 0 AND typlen = -1 AND typcategory = 'A' AND oid NOT IN (22, 30))");
    ASSERT_TRUE(types.ok());
    ASSERT_GT(types->rows(), 70);
    for (int row = 0; row < types->rows(); ++row) {
        EXPECT_TRUE(covered.contains(std::string(types->Get(row, 0)))) << types->Get(row, 0);
    }
}

}  // namespace
}  // namespace millrace
