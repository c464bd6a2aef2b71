#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/text.h"
#include "connectors/postgres/destination_test_kit.h"
#include "connectors/sdk/testing/batch_builder.h"

// Values arrive as they stood at the source, whatever their type.

namespace millrace::postgres {
namespace {

using sdk::testing::BatchBuilder;
using sdk::testing::kUnchanged;
using sdk::testing::MakeColumn;
using sdk::testing::MakeSchema;
using sdk::testing::TestRow;

struct Sample final {
    const char* type;
    std::vector<const char*> values;
};

const std::vector<Sample>& Samples() {
    static const std::vector<Sample> kSamples = {
        {"smallint", {"-32768", "32767"}},
        {"integer", {"-2147483648", "2147483647"}},
        {"bigint", {"-9223372036854775808", "9223372036854775807"}},
        {"numeric", {"NaN", "Infinity", "-Infinity", "0.000", "123456789012345678901234567890.123456789"}},
        {"numeric(10,2)", {"-99999999.99", "0.00"}},
        {"real", {"NaN", "-Infinity", "3.4028235e+38", "1e-45", "0.1", "-0"}},
        {"double precision", {"NaN", "Infinity", "1.7976931348623157e+308", "5e-324", "0.1", "-0"}},
        {"boolean", {"t", "f"}},
        {"text", {"", "a\tb\\n\nc", "\xF0\x9F\xA6\x86"}},
        {"character varying(5)", {"", "abc  "}},
        {"character(5)", {"abc  ", "     "}},
        {"\"char\"", {"x"}},
        {"name", {"a name"}},
        {"bytea", {"\\x", "\\x00ff5c0a27"}},
        {"date", {"0001-01-01", "4713-01-01 BC", "5874897-12-31", "infinity"}},
        {"time without time zone", {"00:00:00", "24:00:00", "12:34:56.789012"}},
        {"time(2) without time zone", {"12:34:56.78"}},
        {"time with time zone", {"12:34:56.789012+05:30"}},
        {"timestamp without time zone",
         {"infinity", "294276-12-31 23:59:59.999999", "0044-03-15 12:00:00 BC"}},
        {"timestamp with time zone", {"-infinity", "2024-02-29 23:59:59.999999+00"}},
        {"timestamp(3) with time zone", {"2024-02-29 23:59:59.999+00"}},
        {"interval", {"1 year 2 mons -3 days -04:05:06.000007", "00:00:00"}},
        {"interval day to second", {"3 days 04:05:06"}},
        {"uuid", {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}},
        {"json", {"{\"a\" :  1, \"a\": 2}", "null"}},
        {"jsonb", {"{\"a\": 1, \"b\": \"\\\\n\\t\"}", "null"}},
        {"xml", {"<a>b</a>", "some <b>content</b>"}},
        {"inet", {"10.0.0.1/8", "::1"}},
        {"cidr", {"10.0.0.0/8"}},
        {"macaddr", {"08:00:2b:01:02:03"}},
        {"bit(3)", {"101"}},
        {"bit varying(5)", {"", "10101"}},
        {"point", {"(1.5,-2)"}},
        {"box", {"(3,4),(1,2)"}},
        {"circle", {"<(1,2),3>"}},
        {"tsvector", {"'a':1A 'b':2"}},
        {"tsquery", {"'a' & !'b'"}},
        {"pg_lsn", {"16/B374D848"}},
        {"oid", {"4294967295"}},
        {"xid8", {"18446744073709551615"}},
        {"int4range", {"[1,10)", "empty"}},
        {"tstzrange", {"[\"2024-01-01 00:00:00+00\",)"}},
        {"integer[]", {"{}", "{1,NULL,3}", "{{1,2},{3,4}}", "[0:1]={1,2}"}},
        {"text[]", {"{\"a,b\",\"c\\\"d\",NULL,\"NULL\",\"\"}"}},
        {"numeric(5,2)[]", {"{1.00,NULL}"}},
        {"jsonpath", {"$.\"a\"[*]"}},
        {"money", {"-$92,233,720,368,547,758.08", "$0.01"}},
        {"regclass", {"pg_class", "-"}},
        {"regtype", {"integer", "timestamp with time zone"}},
        {"regprocedure", {"lower(text)"}},
        {"regoperator", {"+(integer,integer)"}},
        {"regconfig", {"english"}},
        {"int2vector", {"1 2 3", ""}},
        {"pg_snapshot", {"10:20:10,14,15"}},
        {"int4multirange", {"{[1,3),[5,8)}", "{}"}},
        {"money[]", {"{$1.00,NULL}"}},
    };
    return kSamples;
}

class DestinationTypes : public ::testing::Test {
 protected:
    [[nodiscard]] std::string TypeOfColumn(const std::string& table, const std::string& column) {
        const auto rows = database_.Query(
            base::Concat("SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '",
                         table, "'::regclass AND attname = '", column, "'"));
        return rows.size() == 1 && rows[0][0] ? *rows[0][0] : "";
    }

    testing_support::PostgresDatabase database_;
    std::unique_ptr<sdk::Destination> destination_ = OpenDestination(database_.parameters());
};

TEST_F(DestinationTypes, EveryTypeKeepsItsNameAndValues) {
    for (const Sample& sample : Samples()) {
        const std::string table = base::Concat("t", &sample - Samples().data());
        const auto schema = MakeSchema(table, {MakeColumn("id", "integer", 1), MakeColumn("v", sample.type),
                                               MakeColumn("w", sample.type)});
        const auto writer = OpenWriter(*destination_, *schema);
        BatchBuilder batch(schema);
        BatchBuilder resolved(schema);
        // Once through literals, once through a stage with a cell that comes from the table.
        const auto count = static_cast<int64_t>(sample.values.size());
        for (int64_t i = 0; i < count; ++i) {
            const char* value = sample.values[static_cast<size_t>(i)];
            batch.Full({std::to_string(i), value, value});
            resolved.Partial({std::to_string(i), value, kUnchanged});
        }
        batch.Full({"-1", nullptr, nullptr});
        const auto first = writer->Apply(batch.Build(0, 10));
        ASSERT_TRUE(first.ok()) << sample.type << ": " << base::Describe(first.status());
        const auto second = writer->Apply(resolved.Build(10, 20));
        ASSERT_TRUE(second.ok()) << sample.type << ": " << base::Describe(second.status());
        EXPECT_EQ(TypeOfColumn("shop." + table, "v"), sample.type);
        database_.Execute("SET timezone = 'UTC'");
        const auto rows = database_.Query("SELECT v, w FROM shop." + table + " WHERE id >= 0 ORDER BY id");
        ASSERT_EQ(rows.size(), sample.values.size()) << sample.type;
        for (size_t i = 0; i < rows.size(); ++i) {
            EXPECT_EQ(rows[i][0], sample.values[i]) << sample.type;
            EXPECT_EQ(rows[i][1], sample.values[i]) << sample.type;
        }
    }
}

// Large batches go in binary form where all types have one; the values must be those that text gives.
TEST_F(DestinationTypes, ALargeBatchKeepsEveryValueToo) {
    constexpr int64_t kRows = 1200;
    for (const Sample& sample : Samples()) {
        const std::string table = base::Concat("big", &sample - Samples().data());
        const auto schema =
            MakeSchema(table, {MakeColumn("id", "integer", 1), MakeColumn("v", sample.type), MakeColumn("at", "timestamp(3) with time zone")});
        const auto writer = OpenWriter(*destination_, *schema);
        // Once straight into the table, once through a stage.
        for (const bool append : {true, false}) {
            BatchBuilder batch(schema);
            for (int64_t i = 0; i < kRows; ++i) {
                const auto at = static_cast<size_t>(i) % (sample.values.size() + 1);
                const char* value = at < sample.values.size() ? sample.values[at] : nullptr;
                batch.Full({std::to_string(append ? i : i + kRows / 2), value, "2024-02-29 23:59:59.999+00"});
            }
            sdk::Batch built = batch.Build(append ? 0 : kRows, append ? kRows : 2 * kRows);
            built.append = append;
            const auto applied = writer->Apply(built);
            ASSERT_TRUE(applied.ok()) << sample.type << ": " << base::Describe(applied.status());
        }
        database_.Execute("SET timezone = 'UTC'");
        const auto all = database_.Query("SELECT id, v, at FROM shop." + table + " ORDER BY id");
        ASSERT_EQ(all.size(), static_cast<size_t>(kRows + kRows / 2)) << sample.type;
        for (size_t i = 0; i < all.size(); ++i) {
            const size_t written = i >= kRows / 2 ? i - kRows / 2 : i;
            const size_t at = written % (sample.values.size() + 1);
            if (at < sample.values.size()) {
                EXPECT_EQ(all[i][1], sample.values[at]) << sample.type;
            } else {
                EXPECT_EQ(all[i][1], std::nullopt) << sample.type;
            }
            EXPECT_EQ(all[i][2], "2024-02-29 23:59:59.999+00");
        }
    }
}

TEST_F(DestinationTypes, AColumnThatWasAlteredMeanwhileIsNotTakenForWhatItWas) {
    const auto schema = MakeSchema("altered", {MakeColumn("id", "integer", 1), MakeColumn("v", "bigint")});
    const auto writer = OpenWriter(*destination_, *schema);
    const auto apply = [&](int64_t from) {
        BatchBuilder batch(schema);
        for (int64_t i = from; i < from + 600; ++i) {
            batch.Full({std::to_string(i), std::to_string(i * 1000)});
        }
        sdk::Batch built = batch.Build(from, from + 600);
        built.append = true;
        return writer->Apply(built).status();
    };
    ASSERT_TRUE(apply(0).ok());
    database_.Execute("ALTER TABLE shop.altered ALTER COLUMN v TYPE double precision");
    const absl::Status second = apply(600);
    ASSERT_TRUE(second.ok()) << base::Describe(second);
    EXPECT_EQ(database_.Query("SELECT count(*) FROM shop.altered WHERE v = id * 1000.0")[0][0], "1200");
}

TEST_F(DestinationTypes, AnAppendBatchWhoseRowsStandThereIsMerged) {
    const auto schema = MakeSchema("appended", {MakeColumn("id", "integer", 1), MakeColumn("v", "text")});
    const auto writer = OpenWriter(*destination_, *schema);
    const auto append = [&](int from, int to, const char* value, int64_t first) {
        BatchBuilder batch(schema);
        for (int i = from; i < to; ++i) {
            batch.Full({std::to_string(i), value});
        }
        sdk::Batch built = batch.Build(first, first + to - from);
        built.append = true;
        return writer->Apply(built);
    };
    ASSERT_TRUE(append(0, 10, "old", 0).ok());
    const auto small = append(5, 15, "new", 10);
    ASSERT_TRUE(small.ok()) << base::Describe(small.status());
    EXPECT_TRUE(small->merged_instead);
    const auto large = append(14, 1500, "newest", 20);
    ASSERT_TRUE(large.ok()) << base::Describe(large.status());
    EXPECT_TRUE(large->merged_instead);
    EXPECT_EQ(database_.Query("SELECT string_agg(v || ' ' || n, ', ' ORDER BY v) FROM (SELECT v, count(*) AS n FROM shop.appended GROUP BY v) AS g")[0][0],
              "new 9, newest 1486, old 5");
}

TEST_F(DestinationTypes, FreshRowsThatStandThereAfterAllAreMerged) {
    const auto schema = MakeSchema("freshly", {MakeColumn("id", "integer", 1), MakeColumn("v", "text")});
    const auto writer = OpenWriter(*destination_, *schema);
    ASSERT_TRUE(writer->Apply(BatchBuilder(schema).Full({"7", "old"}).Full({"2000", "old"}).Build(0, 2)).ok());
    BatchBuilder batch(schema);
    for (int i = 0; i < 1000; ++i) {
        batch.Full({std::to_string(i), "new"});
    }
    batch.Full({"2000", "new"});
    sdk::Batch built = batch.Build(2, 1003);
    for (size_t i = 0; i < 1000; ++i) {
        built.rows[i].fresh = true;
    }
    const auto result = writer->Apply(built);
    ASSERT_TRUE(result.ok()) << base::Describe(result.status());
    EXPECT_TRUE(result->merged_instead);
    EXPECT_EQ(database_.Query("SELECT count(*), min(v), max(v) FROM shop.freshly")[0], (std::vector<std::optional<std::string>>{"1001", "new", "new"}));
}

TEST_F(DestinationTypes, AValueThatIsRefusedInBinaryFormIsToldLikeAnyOther) {
    const auto schema = MakeSchema("refused", {MakeColumn("id", "integer", 1), MakeColumn("v", "character varying(5)")});
    const auto writer = OpenWriter(*destination_, *schema);
    BatchBuilder batch(schema);
    for (int i = 0; i < 1000; ++i) {
        batch.Full({std::to_string(i), i == 700 ? "too long" : "good"});
    }
    sdk::Batch built = batch.Build(0, 1000);
    built.append = true;
    built.refused = sdk::RefusedValues::kHold;
    const absl::Status status = writer->Apply(built).status();
    EXPECT_EQ(base::ReasonOf(status), "VALUE_REJECTED");
    EXPECT_NE(std::string(status.message()).find("column \"v\""), std::string::npos) << status.message();
    built.refused = sdk::RefusedValues::kDeadLetter;
    const auto applied = writer->Apply(built);
    ASSERT_TRUE(applied.ok()) << base::Describe(applied.status());
    EXPECT_EQ(applied->dead_letters_standing, 1);
    EXPECT_EQ(database_.Query("SELECT count(*) FROM shop.refused")[0][0], "1000");
    EXPECT_EQ(database_.Query("SELECT id FROM shop.refused WHERE v IS NULL")[0][0], "700");
}

TEST_F(DestinationTypes, ATypeOfTheUsersIsTakenWhereItExistsHereToo) {
    database_.Execute("CREATE TYPE mood AS ENUM ('sad', 'ok')");
    database_.Execute("CREATE TYPE pair AS (a integer, b text)");
    database_.Execute("CREATE TABLE parent (a integer, b text)");
    const auto schema = MakeSchema("users", {MakeColumn("id", "integer", 1), MakeColumn("known", "mood"),
                                             MakeColumn("unknown", "temper"), MakeColumn("many", "temper[]"),
                                             MakeColumn("composite", "pair"), MakeColumn("row", "parent"),
                                             MakeColumn("pairs", "pair[]"), MakeColumn("moods", "mood[]")});
    const auto writer = OpenWriter(*destination_, *schema);
    const auto applied = writer->Apply(
        BatchBuilder(schema)
            .Full({"1", "ok", "hot", "{a,b}", "(1,x)", "(1,y)", "{\"(1,\\\"a b\\\")\",NULL}", "{sad}"})
            .Build(0, 1));
    ASSERT_TRUE(applied.ok()) << base::Describe(applied.status());
    EXPECT_EQ(TypeOfColumn("shop.users", "known"), "mood");
    EXPECT_EQ(TypeOfColumn("shop.users", "unknown"), "text");
    EXPECT_EQ(TypeOfColumn("shop.users", "many"), "text[]");
    EXPECT_EQ(TypeOfColumn("shop.users", "composite"), "pair");
    EXPECT_EQ(TypeOfColumn("shop.users", "row"), "text") << "a row type changes with its table";
    EXPECT_EQ(TypeOfColumn("shop.users", "pairs"), "pair[]");
    EXPECT_EQ(TypeOfColumn("shop.users", "moods"), "mood[]");
    EXPECT_EQ(database_.Query("SELECT pairs[1] FROM shop.users")[0][0], "(1,\"a b\")");
    const auto refused =
        writer->Apply(BatchBuilder(schema)
                          .Full({"2", "angry", "hot", "{}", "(1,x)", nullptr, nullptr, "{sad}"})
                          .Build(1, 2));
    EXPECT_EQ(base::ReasonOf(refused.status()), "VALUE_REJECTED");
}

sdk::Column DomainColumn(const char* name, const char* base, const char* domain) {
    sdk::Column column = MakeColumn(name, base);
    column.declared_type = domain;
    return column;
}

TEST_F(DestinationTypes, ADomainIsTakenWhereItExistsAndAllowsNulls) {
    database_.Execute("CREATE DOMAIN email AS text CHECK (VALUE LIKE '%@%')");
    database_.Execute("CREATE DOMAIN strict AS integer NOT NULL");
    database_.Execute("CREATE DOMAIN stricter AS strict");
    const auto schema =
        MakeSchema("domains", {MakeColumn("id", "integer", 1), DomainColumn("mail", "text", "public.email"),
                               DomainColumn("mails", "text[]", "public.email[]"),
                               DomainColumn("hard", "integer", "stricter"),
                               DomainColumn("missing", "numeric(5,2)", "public.price")});
    const auto writer = OpenWriter(*destination_, *schema);
    const auto applied =
        writer->Apply(BatchBuilder(schema).Full({"1", "a@b", "{c@d}", nullptr, "1.50"}).Build(0, 1));
    ASSERT_TRUE(applied.ok()) << base::Describe(applied.status());
    EXPECT_EQ(TypeOfColumn("shop.domains", "mail"), "email");
    EXPECT_EQ(TypeOfColumn("shop.domains", "mails"), "email[]");
    EXPECT_EQ(TypeOfColumn("shop.domains", "hard"), "integer");
    EXPECT_EQ(TypeOfColumn("shop.domains", "missing"), "numeric(5,2)");
}

TEST_F(DestinationTypes, AColumnOfTheTypeBehindADomainIsAsGood) {
    database_.Execute("CREATE DOMAIN posint AS integer CHECK (VALUE > 0)");
    const auto before = MakeSchema("was", {MakeColumn("id", "integer", 1), MakeColumn("n", "integer")});
    const auto writer = OpenWriter(*destination_, *before);
    ASSERT_TRUE(writer->Apply(BatchBuilder(before).Full({"1", "2"}).Build(0, 1)).ok());
    const auto after =
        MakeSchema("was", {MakeColumn("id", "integer", 1), DomainColumn("n", "integer", "public.posint")});
    const auto applied = writer->Apply(BatchBuilder(after).Full({"2", "3"}).Build(1, 2));
    ASSERT_TRUE(applied.ok()) << base::Describe(applied.status());
    EXPECT_EQ(TypeOfColumn("shop.was", "n"), "integer");
}

TEST_F(DestinationTypes, ExtensionTypesAreFoundInWhicheverSchemaTheyStand) {
    database_.Execute("CREATE SCHEMA ext");
    database_.Execute("CREATE EXTENSION hstore SCHEMA ext");
    database_.Execute("CREATE EXTENSION citext");
    const auto schema =
        MakeSchema("extended", {MakeColumn("name", "public.citext", 1), MakeColumn("h", "public.hstore"),
                                MakeColumn("tree", "public.ltree")});
    const auto writer = OpenWriter(*destination_, *schema);
    const auto applied =
        writer->Apply(BatchBuilder(schema).Full({"Bob", "\"a\"=>NULL, \"b\"=>\"\"", "a.b"}).Build(0, 1));
    ASSERT_TRUE(applied.ok()) << base::Describe(applied.status());
    EXPECT_EQ(TypeOfColumn("shop.extended", "name"), "citext");
    EXPECT_EQ(TypeOfColumn("shop.extended", "h"), "ext.hstore");
    EXPECT_EQ(TypeOfColumn("shop.extended", "tree"), "text");
    EXPECT_EQ(database_.Query("SELECT h FROM shop.extended")[0][0], "\"a\"=>NULL, \"b\"=>\"\"");
}

TEST_F(DestinationTypes, ARefusedValueNamesItsColumnInBatchesOfAnySize) {
    const auto schema = MakeSchema(
        "named", {MakeColumn("id", "integer", 1), MakeColumn("a", "text"), MakeColumn("amount", "integer")});
    const auto writer = OpenWriter(*destination_, *schema);
    for (const int rows : {2, 100}) {
        BatchBuilder batch(schema);
        for (int i = 0; i < rows; ++i) {
            batch.Full({std::to_string(i), "x", i == 1 ? "secret" : "1"});
        }
        const auto refused = writer->Apply(batch.Build(0, 100));
        EXPECT_EQ(base::ReasonOf(refused.status()), "VALUE_REJECTED");
        EXPECT_NE(base::Describe(refused.status()).find("\"amount\""), std::string::npos)
            << base::Describe(refused.status());
        EXPECT_EQ(base::Describe(refused.status()).find("secret"), std::string::npos);
    }
}

sdk::Column EnumColumn(const std::string& name, const std::string& type, std::vector<std::string> labels) {
    sdk::Column column = MakeColumn(name, type);
    const bool array = type.ends_with("[]");
    column.type = array ? sdk::LogicalType::kArray : sdk::LogicalType::kEnum;
    column.element = array ? sdk::LogicalType::kEnum : sdk::LogicalType::kText;
    column.labels = std::move(labels);
    return column;
}

TEST_F(DestinationTypes, AMissingEnumIsMadeAndGetsNewLabels) {
    const std::vector<std::string> labels = {"sad", "it's ok"};
    const auto with = [&](std::vector<std::string> known) {
        return MakeSchema("enums", {MakeColumn("id", "integer", 1), EnumColumn("m", "other.\"Mood\"", known),
                                    EnumColumn("ms", "other.\"Mood\"[]", known)});
    };
    const auto schema = with(labels);
    const auto writer = OpenWriter(*destination_, *schema);
    ASSERT_TRUE(writer->Apply(BatchBuilder(schema).Full({"1", "it's ok", "{sad,NULL}"}).Build(0, 1)).ok());
    EXPECT_EQ(TypeOfColumn("shop.enums", "m"), "other.\"Mood\"");
    EXPECT_EQ(TypeOfColumn("shop.enums", "ms"), "other.\"Mood\"[]");
    // Added at the source since; the schema knows nothing of it.
    auto batch =
        BatchBuilder(schema).Full({"2", "gr\\eat", "{}"}).Full({"3", nullptr, "{\"a, b\",sad}"}).Build(1, 3);
    batch.refused = sdk::RefusedValues::kDeadLetter;
    const auto added = writer->Apply(batch);
    ASSERT_TRUE(added.ok()) << base::Describe(added.status());
    EXPECT_TRUE(added->dead_letters.empty());
    ASSERT_FALSE(added->types_changed.empty());
    EXPECT_EQ(added->types_changed[0].before, "other.\"Mood\" (sad, it's ok)");
    EXPECT_EQ(added->types_changed[0].after, "other.\"Mood\" (sad, it's ok, gr\\eat)");
    // One that the schema knows comes where the source has it.
    const auto later = with({"sad", "so-so", "it's ok"});
    ASSERT_TRUE(writer->Apply(BatchBuilder(later).Full({"4", "so-so", "{}"}).Build(3, 4)).ok());
    const auto between = database_.Query("SELECT id FROM shop.enums WHERE m > 'sad' AND m < 'it''s ok'");
    ASSERT_EQ(between.size(), 1U);
    EXPECT_EQ(between[0][0], "4");
}

}  // namespace
}  // namespace millrace::postgres
