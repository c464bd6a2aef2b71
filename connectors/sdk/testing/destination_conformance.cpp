#include "connectors/sdk/testing/destination_conformance.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/status.h"
#include "base/text.h"

namespace millrace::sdk::testing {
namespace {

bool MayRepeat(const absl::Status& status) {
    return absl::IsUnavailable(status) || (absl::IsAborted(status) && base::ReasonOf(status) != "FENCED");
}

// A destination that lets one transaction win tells the others to repeat.
template <typename Call>
auto Repeat(const Call& call) {
    for (int attempt = 0;; ++attempt) {
        auto result = call();
        if (result.ok() || attempt == 50 || !MayRepeat(result.status())) {
            return result;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(5 * (attempt + 1)));
    }
}

}  // namespace

std::string Quoted(const std::string& name) {
    std::string quoted = "\"";
    for (const char c : name) {
        quoted.append(c == '"' ? 2 : 1, c);
    }
    return quoted + "\"";
}

SchemaPtr Orders(const std::string& table) {
    return MakeSchema(table, {MakeColumn("id", "bigint", 1), MakeColumn("name", "text"),
                              MakeColumn("amount", "numeric(12,2)"), MakeColumn("note", "text")});
}

void DestinationConformance::SetUp() {
    database_ = GetParam()();
    ASSERT_NE(database_, nullptr);
    destination_ = database_->OpenDestination();
    ASSERT_NE(destination_, nullptr);
}

StreamId DestinationConformance::Stream(const TableSchema& schema, const std::string& stream) {
    return {.pipeline = "tenants/t/pipelines/" + stream,
            .pipeline_uid = "uid-" + stream,
            .topic = base::Concat("mr.", stream, ".", schema.schema, ".", schema.table)};
}

std::unique_ptr<TableWriter> DestinationConformance::Open(const SchemaPtr& schema,
                                                          const std::string& stream) {
    auto writer = destination_->OpenTable(Target(*schema), Stream(*schema, stream));
    if (!writer.ok()) {
        ADD_FAILURE() << base::Describe(writer.status());
        return nullptr;
    }
    TakeOver(**writer);
    return std::move(*writer);
}

Checkpoint DestinationConformance::TakeOver(TableWriter& writer) {
    const auto checkpoint = Repeat([&] { return writer.TakeOver(); });
    EXPECT_TRUE(checkpoint.ok()) << base::Describe(checkpoint.status());
    return checkpoint.ok() ? *checkpoint : Checkpoint();
}

ApplyResult DestinationConformance::Apply(TableWriter& writer, const Batch& batch) {
    const auto result = Repeat([&] { return writer.Apply(batch); });
    EXPECT_TRUE(result.ok()) << base::Describe(result.status());
    return result.ok() ? *result : ApplyResult();
}

std::vector<TestDatabase::Row> DestinationConformance::ReadRows(const TableSchema& schema) {
    std::string columns;
    for (const Column& column : schema.columns) {
        base::Append(columns, columns.empty() ? "" : ", ", Quoted(column.name));
    }
    auto rows = database_->Query(
        base::Concat("SELECT ", columns, " FROM ", Quoted(schema.schema), ".", Quoted(schema.table)));
    std::sort(rows.begin(), rows.end());
    return rows;
}

bool DestinationConformance::TableExists(const std::string& schema, const std::string& table) {
    return !database_
                ->Query(base::Concat("SELECT 1 FROM information_schema.tables WHERE table_schema = '", schema,
                                     "' AND table_name = '", table, "'"))
                .empty();
}

int64_t DestinationConformance::Count(const TableSchema& schema) {
    const auto rows = database_->Query(
        base::Concat("SELECT count(*) FROM ", Quoted(schema.schema), ".", Quoted(schema.table)));
    return rows.size() == 1 && rows[0][0] ? std::stoll(*rows[0][0]) : -1;
}

}  // namespace millrace::sdk::testing
