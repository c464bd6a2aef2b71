#include "data-plane/publish/schema_note.h"

#include <gtest/gtest.h>

#include <memory>

namespace millrace::publish {
namespace {

std::shared_ptr<sdk::TableSchema> Orders(std::string storage) {
    auto schema = std::make_shared<sdk::TableSchema>();
    schema->table = "orders";
    schema->columns = {
        {.name = "id", .source_type = "bigint", .key_ordinal = 1, .source_id = 1, .source_version = 10},
        {.name = "note", .source_type = "text", .source_id = 2, .source_version = 10}};
    schema->storage = std::move(storage);
    schema->id = sdk::ComputeSchemaId(*schema);
    return schema;
}

class NoteSchemaTest : public testing::Test {
 protected:
    bool Note(const sdk::SchemaPtr& schema) {
        return NoteSchema(table_, schema, {.commit = ++commit_, .seq = 0}, recorder_);
    }
    std::vector<events::LoggedEvent> Events() {
        uint64_t cursor = 0;
        return log_.Read(cursor, 100);
    }

    events::EventLog log_{"boot"};
    events::Recorder recorder_{log_, "shop"};
    TableState table_{.schema = "public", .table = "orders", .topic = "t"};
    uint64_t commit_ = 0;
};

TEST_F(NoteSchemaTest, TheFirstIsRememberedAndNoEvent) {
    EXPECT_TRUE(Note(Orders("f/2")));
    EXPECT_FALSE(Note(Orders("f/2"))) << "nothing to write";
    EXPECT_TRUE(Events().empty());
    EXPECT_EQ(table_.schema_of_last->storage, "f/2");
}

TEST_F(NoteSchemaTest, AnEventTellsColumnsBeforeAndAfterAndNoValue) {
    Note(Orders("f/2"));
    auto wide = Orders("f/3");
    wide->columns.push_back({.name = "secret", .source_type = "integer", .source_id = 3, .fill = "4711"});
    wide->id = sdk::ComputeSchemaId(*wide);
    EXPECT_TRUE(Note(wide));
    ASSERT_EQ(Events().size(), 1U);
    EXPECT_EQ(Events()[0].event.before, "id bigint key, note text");
    EXPECT_EQ(Events()[0].event.after, "id bigint key, note text, secret integer");
    EXPECT_EQ(Events()[0].event.message.find("4711"), std::string::npos);
}

TEST_F(NoteSchemaTest, OtherFilesOfTheSameShapeAreRememberedWithoutAnEvent) {
    Note(Orders("f/2"));
    EXPECT_TRUE(Note(Orders("g/2")));
    EXPECT_EQ(table_.schema_of_last->storage, "g/2");
    EXPECT_TRUE(Events().empty());
}

TEST_F(NoteSchemaTest, WhatALaterShapeSaysOfStorageIsNotBelievedOfThisOne) {
    Note(Orders("f/2"));
    auto behind = Orders("g/3");
    behind->columns[1].name = "remark";
    behind->columns[1].source_version = 20;
    behind->behind = true;
    behind->id = sdk::ComputeSchemaId(*behind);
    EXPECT_TRUE(Note(behind));
    EXPECT_EQ(table_.schema_of_last->columns[1].name, "remark");
    EXPECT_EQ(table_.schema_of_last->storage, "f/2") << "the rewrite is still to be noticed";
    EXPECT_EQ(table_.schema_of_last->columns[1].source_version, 10U);
}

TEST_F(NoteSchemaTest, TheStateComesBackFromTheControlTopic) {
    Note(Orders("f/2"));
    ControlState read;
    ASSERT_TRUE(DecodeControlRecord(TableKey(table_), EncodeTableState(table_), read).ok());
    ASSERT_TRUE(read.tables.contains("t"));
    EXPECT_EQ(read.tables["t"].schema_of_last->columns, table_.schema_of_last->columns);
    EXPECT_EQ(read.tables["t"].schema_of_last->storage, "f/2");
}

}  // namespace
}  // namespace millrace::publish
