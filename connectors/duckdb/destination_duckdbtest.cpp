#include "connectors/duckdb/destination.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "base/status.h"
#include "connectors/duckdb/duckdb_fixture.h"
#include "connectors/sdk/connector.h"

namespace millrace::duckdb {

void Register(sdk::ConnectorRegistry& registry);

namespace {

using sdk::testing::BatchBuilder;
using sdk::testing::MakeColumn;
using sdk::testing::MakeSchema;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class DuckDbDestinationTest : public testing::Test {
 protected:
    sdk::Findings Preflight(const std::string& path, const std::vector<sdk::TableTarget>& tables = {}) {
        return MakeTestDestination(files_, path)->Preflight(TestStream(), tables);
    }
    // The one critical finding, or one that says there is none.
    sdk::Finding Critical(const std::string& path, const std::vector<sdk::TableTarget>& tables = {}) {
        for (const sdk::Finding& finding : Preflight(path, tables)) {
            if (finding.severity == sdk::Severity::kCritical) {
                return finding;
            }
        }
        return {.code = "NONE", .severity = sdk::Severity::kOk, .message = {}, .remedy = {}, .subject = {}};
    }

    TestFolder folder_;
    DatabaseFiles files_;
};

TEST_F(DuckDbDestinationTest, PreflightLeavesNothingBehind) {
    EXPECT_FALSE(sdk::HasCritical(Preflight(folder_.File(), {{"shop", "orders"}})));
    EXPECT_THAT(folder_.Names(), IsEmpty());
    ExecuteOnFile(files_, folder_.File(), "CREATE TABLE t (a INTEGER)");
    EXPECT_FALSE(sdk::HasCritical(Preflight(folder_.File(), {{"shop", "orders"}})));
    EXPECT_THAT(folder_.Names(), ElementsAre("test.duckdb"));
    EXPECT_EQ(QueryFile(files_, folder_.File(), "SELECT count(*) FROM duckdb_tables()").front()[0], "1");
}

TEST_F(DuckDbDestinationTest, PreflightNamesTheMissingFolder) {
    const sdk::Finding finding = Critical(folder_.File("missing/w.duckdb"));
    EXPECT_EQ(finding.code, "FOLDER_MISSING");
    EXPECT_THAT(finding.remedy, HasSubstr("mkdir -p '" + folder_.folder() + "/missing'"));
}

TEST_F(DuckDbDestinationTest, PreflightRefusesWhatIsNoDuckDbFile) {
    EXPECT_EQ(Critical(folder_.folder()).code, "PATH_IS_FOLDER");
    std::ofstream(folder_.File("notes.txt")) << "not a database, but long enough to be looked at";
    EXPECT_EQ(Critical(folder_.File("notes.txt")).code, "NOT_A_DUCKDB_FILE");
    EXPECT_THAT(folder_.Names(), ElementsAre("notes.txt"));
}

TEST_F(DuckDbDestinationTest, PreflightTellsAnUnwritableFolder) {
    ASSERT_EQ(chmod(folder_.folder().c_str(), 0500), 0);
    const bool by_root = geteuid() == 0;
    // Root may write everywhere: look as somebody else.
    if (by_root) {
        ASSERT_EQ(chown(folder_.folder().c_str(), 65534, 65534), 0);
        ASSERT_EQ(seteuid(65534), 0);
    }
    const sdk::Finding finding = Critical(folder_.File());
    if (by_root) {
        ASSERT_EQ(seteuid(0), 0);
    }
    EXPECT_EQ(finding.code, "NOT_WRITABLE");
    EXPECT_THAT(finding.message, HasSubstr(folder_.folder()));
}

TEST_F(DuckDbDestinationTest, PreflightFindsStrangeRows) {
    ExecuteOnFile(files_, folder_.File(), "CREATE SCHEMA shop; CREATE TABLE shop.orders AS SELECT 1 AS id");
    EXPECT_EQ(Critical(folder_.File(), {{"shop", "orders"}}).code, "DST_NOT_EMPTY");
}

TEST_F(DuckDbDestinationTest, PreflightTellsNamesApartThatDuckDbDoesNot) {
    EXPECT_EQ(Critical(folder_.File(), {{"shop", "a.b"}, {"shop.a", "b"}}).code, "NONE") << "other names, other tables";
    EXPECT_EQ(Critical(folder_.File(), {{"shop", "orders"}, {"shop", "Orders"}}).code, "NAME_CLASH");
    ExecuteOnFile(files_, folder_.File(), "CREATE SCHEMA shop; CREATE TABLE shop.\"Orders\" (id INTEGER)");
    EXPECT_EQ(Critical(folder_.File(), {{"shop", "orders"}}).code, "NAME_CLASH");
    const sdk::Finding reserved = Critical(folder_.File(), {{"temp", "orders"}});
    EXPECT_EQ(reserved.code, "NAME_CLASH") << reserved.message;
    EXPECT_EQ(Critical(folder_.File(), {{"shop", "other"}}).code, "NONE");
}

TEST_F(DuckDbDestinationTest, ASchemaMayHaveTheNameOfTheFile) {
    const std::string path = folder_.File("shop.duckdb");
    const auto destination = MakeTestDestination(files_, path);
    const auto writer = TakeOver(*destination, "orders");
    const auto schema = MakeSchema("orders", {MakeColumn("id", "bigint", 1)});
    const auto result = writer->Apply(BatchBuilder(schema).Full({"1"}).Build(0, 1));
    ASSERT_TRUE(result.ok()) << base::Describe(result.status());
    EXPECT_EQ(QueryElsewhere(path, "SELECT id FROM shop.shop.orders"), "1");
    EXPECT_THAT(Preflight(path, {{"shop", "other"}}),
                testing::Contains(testing::Field(&sdk::Finding::code, "DST_AMBIGUOUS_NAME")));
}

TEST_F(DuckDbDestinationTest, OpensOneFileUnderAllItsNames) {
    ExecuteOnFile(files_, folder_.File(), "CREATE TABLE t (a INTEGER)");
    ASSERT_EQ(symlink(folder_.File().c_str(), folder_.File("link.duckdb").c_str()), 0);
    const auto file = files_.Get(folder_.File(), {});
    EXPECT_EQ(files_.Get(folder_.File("link.duckdb"), {}), file);
    EXPECT_EQ(files_.Get(folder_.folder() + "/./x/../test.duckdb", {}), file);
}

TEST_F(DuckDbDestinationTest, RemovesItsCheckpointsAndNothingElse) {
    const auto destination = MakeTestDestination(files_, folder_.File());
    EXPECT_TRUE(destination->Remove("uid").ok());
    EXPECT_THAT(folder_.Names(), IsEmpty());
    const auto writer = TakeOver(*destination, "orders");
    const auto schema = MakeSchema("orders", {MakeColumn("id", "bigint", 1)});
    ASSERT_TRUE(writer->Apply(BatchBuilder(schema).Full({"1"}).Build(0, 1)).ok());
    EXPECT_TRUE(destination->Remove("uid").ok());
    EXPECT_EQ(QueryFile(files_, folder_.File(), "SELECT count(*) FROM _millrace.checkpoints").front()[0],
              "0");
    EXPECT_EQ(QueryFile(files_, folder_.File(), "SELECT count(*) FROM shop.orders").front()[0], "1");
}

TEST_F(DuckDbDestinationTest, RegistersItself) {
    sdk::ConnectorRegistry registry;
    Register(registry);
    const auto connector = registry.Find("duckdb");
    ASSERT_TRUE(connector.ok());
    EXPECT_FALSE((*connector)->make_source);
    sdk::Options options;
    EXPECT_EQ(base::ReasonOf(sdk::CheckOptions("duckdb", (*connector)->options, options)), "OPTION_MISSING");
    for (const auto& [name, value] : std::map<std::string, std::string>{
             {"path", ":memory:"}, {"path", "/tmp/"}, {"threads", "0"}, {"memory_limit", "1MB"}}) {
        sdk::Options bad;
        bad.values = {{"path", folder_.File()}};
        bad.values[name] = value;
        ASSERT_TRUE(sdk::CheckOptions("duckdb", (*connector)->options, bad).ok());
        EXPECT_EQ(base::ReasonOf((*connector)->make_destination(bad).status()), "OPTION_INVALID")
            << name << value;
    }
}

TEST_F(DuckDbDestinationTest, ALostFileIsNotMadeAnewSilently) {
    const auto destination = MakeTestDestination(files_, folder_.File());
    const auto writer = TakeOver(*destination, "orders");
    unlink(folder_.File().c_str());
    const auto schema = MakeSchema("orders", {MakeColumn("id", "bigint", 1)});
    const auto result = writer->Apply(BatchBuilder(schema).Full({"1"}).Build(0, 1));
    EXPECT_FALSE(result.ok()) << "a new empty file was taken for the old one";
}

}  // namespace
}  // namespace millrace::duckdb
