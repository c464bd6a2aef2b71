#include "data-plane/columns/masked_chunks.h"

#include <gtest/gtest.h>

#include <deque>
#include <utility>

#include "base/keyed_hash.h"
#include "base/status.h"

namespace millrace::columns {
namespace {

using sdk::Cell;

sdk::SchemaPtr People(const std::vector<std::string>& names) {
    auto schema = std::make_shared<sdk::TableSchema>();
    schema->source = "postgres";
    schema->schema = "public";
    schema->table = "people";
    for (const std::string& name : names) {
        sdk::Column column;
        column.name = name;
        column.source_type = "text";
        column.source_id = static_cast<int>(schema->columns.size()) + 1;
        column.key_ordinal = schema->columns.empty() ? 1 : 0;
        schema->columns.push_back(column);
    }
    schema->id = sdk::ComputeSchemaId(*schema);
    return schema;
}

/// Gives the chunks that it was made with.
class ListedChunks final : public sdk::ChunkReader {
 public:
    explicit ListedChunks(std::deque<sdk::Chunk> chunks) : chunks_(std::move(chunks)) {}
    absl::StatusOr<sdk::Sight> Look() override { return sdk::Sight{}; }
    absl::StatusOr<sdk::Chunk> Read(const sdk::ChunkRequest&) override {
        sdk::Chunk chunk = std::move(chunks_.front());
        chunks_.pop_front();
        return chunk;
    }
    void Cancel() override {}

 private:
    std::deque<sdk::Chunk> chunks_;
};

sdk::Chunk ChunkOf(const sdk::SchemaPtr& schema, const std::vector<std::vector<Cell>>& rows, std::vector<std::string> left_out) {
    sdk::Chunk chunk;
    chunk.schema = schema;
    chunk.left_out = std::move(left_out);
    chunk.rows = sdk::RowBuffer(schema->columns.size());
    for (const auto& row : rows) {
        chunk.rows.Add(row);
        chunk.last_key = {std::string(row[0].text())};
    }
    chunk.high = 17;
    return chunk;
}

class MaskedChunks : public testing::Test {
 protected:
    std::unique_ptr<sdk::ChunkReader> Mask(std::deque<sdk::Chunk> chunks, const std::string& key = "salt") {
        return *MaskChunks(std::make_unique<ListedChunks>(std::move(chunks)), rules_, base::Secret(key));
    }

    const ColumnRules rules_{std::vector<config::ColumnRule>{{.table = "public.people", .exclude = {"ssn"}, .hash = {"email"}}}};
};

TEST_F(MaskedChunks, HashesAndKeepsTheCursor) {
    std::deque<sdk::Chunk> chunks;
    const sdk::SchemaPtr shape = People({"id", "email", "age"});
    chunks.push_back(ChunkOf(shape, {{Cell::Value("1"), Cell::Value("a@b"), Cell::Value("18")},
                                     {Cell::Value("2"), Cell::Null(), Cell::Value("19")}}, {"ssn"}));
    chunks.push_back(ChunkOf(People({"id", "email", "age"}), {{Cell::Value("3"), Cell::Value("a@b"), Cell::Null()}}, {"ssn"}));
    const auto reader = Mask(std::move(chunks));
    auto first = reader->Read({});
    ASSERT_TRUE(first.ok()) << first.status();
    ASSERT_EQ(first->rows.size(), 2U);
    std::string hash(base::KeyedHash::kHexBytes, '\0');
    ASSERT_TRUE((*base::KeyedHash::Make(base::Secret("salt")))->Hex("a@b", hash.data()).ok());
    EXPECT_EQ(first->rows.Row(0)[1].text(), hash);
    EXPECT_TRUE(first->rows.Row(1)[1].is_null());
    EXPECT_EQ(first->rows.Row(1)[2].text(), "19");
    EXPECT_EQ(first->schema->columns[1].source_type, "text");
    EXPECT_EQ(first->last_key, sdk::KeyTexts{"2"});
    EXPECT_EQ(first->high, 17U);
    auto second = reader->Read({});
    ASSERT_TRUE(second.ok()) << second.status();
    EXPECT_EQ(second->rows.Row(0)[1].text(), hash);
    EXPECT_EQ(second->schema->id, first->schema->id);
}

TEST_F(MaskedChunks, AColumnThatIsLeftOutAndWasRenamedIsAnError) {
    std::deque<sdk::Chunk> chunks;
    const std::vector<Cell> row = {Cell::Value("1"), Cell::Value("secret"), Cell::Value("a@b")};
    chunks.push_back(ChunkOf(People({"id", "tax_id", "email"}), {row}, {}));
    // And also when a chunk of that very shape had come before, with the column left out.
    chunks.push_back(ChunkOf(People({"id", "tax_id", "email"}), {row}, {"ssn"}));
    chunks.push_back(ChunkOf(People({"id", "tax_id", "email"}), {row}, {}));
    const auto reader = Mask(std::move(chunks));
    EXPECT_EQ(base::ReasonOf(reader->Read({}).status()), "COLUMN_UNKNOWN");
    EXPECT_TRUE(reader->Read({}).ok());
    EXPECT_EQ(base::ReasonOf(reader->Read({}).status()), "COLUMN_UNKNOWN");
}

TEST_F(MaskedChunks, WithoutAKeyNothingPasses) {
    std::deque<sdk::Chunk> chunks;
    chunks.push_back(ChunkOf(People({"id", "email"}), {{Cell::Value("1"), Cell::Value("a@b")}}, {"ssn"}));
    EXPECT_EQ(base::ReasonOf(Mask(std::move(chunks), "")->Read({}).status()), "NO_HASH_KEY");
}

TEST_F(MaskedChunks, AnEmptyChunkIsLeftAsItIs) {
    std::deque<sdk::Chunk> chunks(1);
    chunks.front().complete = true;
    const auto chunk = Mask(std::move(chunks))->Read({});
    ASSERT_TRUE(chunk.ok()) << chunk.status();
    EXPECT_TRUE(chunk->complete);
}

}  // namespace
}  // namespace millrace::columns
