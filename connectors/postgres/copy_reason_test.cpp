#include "connectors/postgres/copy_reason.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace::postgres {
namespace {

using ::testing::HasSubstr;

/// id bigint (1), v integer (2) and t text (3), in files "f".
sdk::TableSchema Table() {
    sdk::TableSchema schema;
    schema.source_table_id = 7;
    schema.storage = "f/3";
    schema.columns = {
        {.name = "id", .source_type = "bigint", .key_ordinal = 1, .source_id = 1, .source_version = 10},
        {.name = "v", .source_type = "integer", .source_id = 2, .source_version = 10},
        {.name = "t", .source_type = "character varying(10)", .source_id = 3, .source_version = 10}};
    return schema;
}

sdk::Column Added(std::optional<std::string> fill) {
    return {.name = "added",
            .source_type = "integer",
            .source_id = 4,
            .fill = std::move(fill),
            .source_version = 20};
}

TEST(CopyReasonTest, NothingChangedNeedsNoCopy) {
    EXPECT_EQ(CopyReason(Table(), Table()), "");
}

TEST(CopyReasonTest, RewritingTheRowsAloneIsVacuumOrTruncate) {
    sdk::TableSchema after = Table();
    after.storage = "g/3";
    EXPECT_EQ(CopyReason(Table(), after), "");
}

TEST(CopyReasonTest, AlteringAColumnAloneWritesNoRow) {
    sdk::TableSchema after = Table();
    after.columns[1].name = "renamed";
    after.columns[1].source_version = 20;
    after.columns[2].source_type = "character varying(20)";
    after.columns[2].source_version = 20;
    EXPECT_EQ(CopyReason(Table(), after), "");
    after.columns[2].source_type = "text";
    EXPECT_EQ(CopyReason(Table(), after), "");
}

TEST(CopyReasonTest, WhatStandsBehindADomainWasRenamed) {
    sdk::TableSchema before = Table();
    before.columns[1].declared_type = "public.feeling";
    before.columns[1].source_type = "public.mood";
    sdk::TableSchema after = before;
    EXPECT_EQ(CopyReason(before, after), "");
    after.columns[1].source_type = "public.state_of_mind";
    EXPECT_THAT(CopyReason(before, after), HasSubstr("from public.mood to public.state_of_mind"));
}

TEST(CopyReasonTest, BothTogetherMayHaveChangedValues) {
    sdk::TableSchema after = Table();
    after.storage = "g/3";
    after.columns[1].source_version = 20;
    EXPECT_THAT(CopyReason(Table(), after), HasSubstr("\"v\"")) << "of the same type too: USING v * 2";
    after.columns[1].source_type = "bigint";
    EXPECT_NE(CopyReason(Table(), after), "");
}

TEST(CopyReasonTest, ATypeThatReadsTheSameBytesOtherwise) {
    sdk::TableSchema before = Table();
    before.columns[1].source_type = "timestamp without time zone";
    sdk::TableSchema after = before;
    after.columns[1].source_type = "timestamp with time zone";
    after.columns[1].source_version = 20;
    EXPECT_THAT(CopyReason(before, after), HasSubstr("timestamp with time zone"));
    after = Table();
    after.columns[1].declared_type = "public.age";
    EXPECT_THAT(CopyReason(Table(), after), HasSubstr("from integer to public.age"));
    before = Table();
    before.columns[2].source_type = "xml";
    after.columns = before.columns;
    after.columns[2].source_type = "text";
    EXPECT_NE(CopyReason(before, after), "") << "which no destination would alter";
}

TEST(CopyReasonTest, AColumnAddedWithoutRewritingNeedsNoCopy) {
    sdk::TableSchema after = Table();
    after.storage = "f/4";
    after.columns.push_back(Added(std::nullopt));
    EXPECT_EQ(CopyReason(Table(), after), "");
    after.columns.back().fill = "7";
    EXPECT_EQ(CopyReason(Table(), after), "");
    after.storage = "g/4";
    EXPECT_EQ(CopyReason(Table(), after), "") << "a fill is there only as long as no row was rewritten";
}

TEST(CopyReasonTest, AColumnAddedWithARewriteMayHoldAnything) {
    sdk::TableSchema after = Table();
    after.storage = "g/4";
    after.columns.push_back(Added(std::nullopt));
    EXPECT_THAT(CopyReason(Table(), after), HasSubstr("\"added\""));
    after.storage = "";
    EXPECT_NE(CopyReason(Table(), after), "") << "unknown";
    after.storage = "f/4";
    after.columns.back().source_version = 0;
    EXPECT_NE(CopyReason(Table(), after), "") << "partitions differ";
}

TEST(CopyReasonTest, AColumnDroppedAndMadeAgain) {
    sdk::TableSchema after = Table();
    after.columns.pop_back();
    EXPECT_EQ(CopyReason(Table(), after), "") << "dropped";
    after.storage = "f/4";
    after.columns.push_back(Added(std::nullopt));
    after.columns.back().name = "t";
    EXPECT_NE(CopyReason(Table(), after), "");
    sdk::TableSchema renamed = Table();
    renamed.storage = "f/4";
    renamed.columns[2].name = "old_t";
    renamed.columns.push_back(Added(std::nullopt));
    renamed.columns.back().name = "t";
    EXPECT_EQ(CopyReason(Table(), renamed), "") << "the old one is there under another name";
}

TEST(CopyReasonTest, AGeneratedColumnThatBecameOrdinary) {
    sdk::TableSchema before = Table();
    before.storage = "f/4";
    sdk::TableSchema after = before;
    after.columns.push_back(Added(std::nullopt));
    EXPECT_THAT(CopyReason(before, after), HasSubstr("generated"));
}

TEST(CopyReasonTest, KeysThatCameOrWentAndShapesNobodyKnows) {
    sdk::TableSchema after = Table();
    after.append_only = true;
    EXPECT_NE(CopyReason(Table(), after), "");
    EXPECT_NE(CopyReason(after, Table()), "");
    sdk::TableSchema unknown = Table();
    unknown.columns[1].source_id = 0;
    EXPECT_NE(CopyReason(Table(), unknown), "");
    unknown.source_table_id = 8;
    EXPECT_EQ(CopyReason(Table(), unknown), "") << "another table is another matter";
}

TEST(CopyReasonTest, LabelsMayBeAddedButNotRenamed) {
    sdk::TableSchema before = Table();
    before.columns[1].labels = {"a", "b"};
    sdk::TableSchema after = before;
    after.columns[1].labels = {"a", "c", "b"};
    EXPECT_EQ(CopyReason(before, after), "");
    after.columns[1].labels = {"a", "z"};
    EXPECT_THAT(CopyReason(before, after), HasSubstr("label"));
}

}  // namespace
}  // namespace millrace::postgres
