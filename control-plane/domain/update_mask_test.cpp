#include "control-plane/domain/update_mask.h"

#include <gtest/gtest.h>

#include "base/status.h"

namespace millrace::domain {
namespace {

v1::Connector Stored() {
    v1::Connector connector;
    connector.mutable_metadata()->set_name("tenants/t/connectors/c");
    connector.mutable_metadata()->set_uid("u");
    (*connector.mutable_metadata()->mutable_labels())["team"] = "a";
    connector.mutable_spec()->set_type("postgres");
    connector.mutable_spec()->set_data_plane("p");
    (*connector.mutable_spec()->mutable_options())["host"] = "one";
    (*connector.mutable_spec()->mutable_options())["port"] = "1";
    connector.mutable_spec()->set_sealed_secrets("sealed");
    return connector;
}

google::protobuf::FieldMask Mask(std::initializer_list<const char*> paths) {
    google::protobuf::FieldMask mask;
    for (const char* path : paths) {
        mask.add_paths(path);
    }
    return mask;
}

TEST(UpdateMask, ReplacesNamedFieldsOnly) {
    v1::Connector update;
    update.mutable_metadata()->set_uid("other");
    (*update.mutable_spec()->mutable_options())["host"] = "two";
    v1::Connector stored = Stored();
    ASSERT_TRUE(ApplyUpdate(update, Mask({"spec.options"}), stored).ok());
    EXPECT_EQ(stored.spec().options().size(), 1U);
    EXPECT_EQ(stored.spec().options().at("host"), "two");
    EXPECT_EQ(stored.spec().sealed_secrets(), "sealed");
    EXPECT_EQ(stored.metadata().uid(), "u");
    ASSERT_TRUE(ApplyUpdate(update, Mask({"spec.sealed_secrets"}), stored).ok());
    EXPECT_EQ(stored.spec().sealed_secrets(), "");
}

TEST(UpdateMask, WithoutAMaskTakesWhatIsSet) {
    v1::Connector update;
    (*update.mutable_spec()->mutable_options())["host"] = "two";
    (*update.mutable_metadata()->mutable_labels())["team"] = "b";
    v1::Connector stored = Stored();
    ASSERT_TRUE(ApplyUpdate(update, {}, stored).ok());
    EXPECT_EQ(stored.spec().options().size(), 1U);
    EXPECT_EQ(stored.spec().sealed_secrets(), "sealed");
    EXPECT_EQ(stored.spec().type(), "postgres");
    EXPECT_EQ(stored.metadata().labels().at("team"), "b");
}

TEST(UpdateMask, StarReplacesAllThatUsersWrite) {
    v1::Connector update;
    update.mutable_spec()->set_type("postgres");
    update.mutable_spec()->set_data_plane("p");
    v1::Connector stored = Stored();
    ASSERT_TRUE(ApplyUpdate(update, Mask({"*"}), stored).ok());
    EXPECT_EQ(stored.spec().options().size(), 0U);
    EXPECT_EQ(stored.spec().sealed_secrets(), "");
    EXPECT_EQ(stored.metadata().labels().size(), 0U);
    EXPECT_EQ(stored.metadata().uid(), "u");
    stored = Stored();
    ASSERT_TRUE(ApplyUpdate(update, Mask({"spec"}), stored).ok());
    EXPECT_EQ(stored.spec().options().size(), 0U);
    EXPECT_EQ(stored.metadata().labels().size(), 1U);
}

TEST(UpdateMask, RefusesUnknownReadOnlyAndImmutableFields) {
    v1::Connector stored = Stored();
    for (const char* path : {"nothing", "spec.nothing", "spec.options.host"}) {
        const auto status = ApplyUpdate(v1::Connector(), Mask({path}), stored);
        EXPECT_EQ(base::ReasonOf(status), "MASK_PATH_UNKNOWN") << path;
        EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << path;
    }
    EXPECT_EQ(base::ReasonOf(ApplyUpdate(v1::Connector(), Mask({"metadata.uid"}), stored)),
              "FIELD_READ_ONLY");
    EXPECT_EQ(base::ReasonOf(ApplyUpdate(v1::Connector(), Mask({"metadata"}), stored)), "FIELD_READ_ONLY");
    v1::Connector update;
    update.mutable_spec()->set_type("duckdb");
    EXPECT_EQ(base::ReasonOf(ApplyUpdate(update, Mask({"spec.type"}), stored)), "FIELD_IMMUTABLE");
}

TEST(UpdateMask, ChangesTheDesiredStateOnlyBetweenRunningAndPaused) {
    v1::Pipeline stored;
    stored.mutable_spec()->set_desired_state(v1::PipelineSpec::DESIRED_STATE_RUNNING);
    stored.mutable_spec()->add_tables("a.b");
    v1::Pipeline update;
    update.mutable_spec()->add_tables("c.d");
    ASSERT_TRUE(ApplyUpdate(update, Mask({"*"}), stored).ok());
    EXPECT_EQ(stored.spec().desired_state(), v1::PipelineSpec::DESIRED_STATE_RUNNING);
    ASSERT_EQ(stored.spec().tables_size(), 1);
    EXPECT_EQ(stored.spec().tables(0), "c.d");
    update.mutable_spec()->set_desired_state(v1::PipelineSpec::DESIRED_STATE_PAUSED);
    EXPECT_TRUE(ApplyUpdate(update, Mask({"spec"}), stored).ok());
    EXPECT_EQ(stored.spec().desired_state(), v1::PipelineSpec::DESIRED_STATE_PAUSED);
    for (const auto state :
         {v1::PipelineSpec::DESIRED_STATE_DELETED, v1::PipelineSpec::DESIRED_STATE_DRAFT}) {
        v1::Pipeline copy = stored;
        update.mutable_spec()->set_desired_state(state);
        EXPECT_EQ(base::ReasonOf(ApplyUpdate(update, Mask({"spec"}), copy)), "FIELD_READ_ONLY");
    }
    EXPECT_EQ(base::ReasonOf(ApplyUpdate(update, Mask({"status"}), stored)), "FIELD_READ_ONLY");
}

TEST(UpdateMask, ADeployedPipelineKeepsItsEnds) {
    v1::Pipeline stored;
    stored.mutable_spec()->set_desired_state(v1::PipelineSpec::DESIRED_STATE_DRAFT);
    stored.mutable_spec()->set_source("a");
    v1::Pipeline update;
    update.mutable_spec()->set_source("b");
    EXPECT_TRUE(ApplyUpdate(update, Mask({"spec.source"}), stored).ok());
    stored.mutable_spec()->set_desired_state(v1::PipelineSpec::DESIRED_STATE_PAUSED);
    update.mutable_spec()->set_source("c");
    EXPECT_EQ(base::ReasonOf(ApplyUpdate(update, Mask({"spec.source"}), stored)), "FIELD_IMMUTABLE");
}

TEST(UpdateMaskTest, TableOverridesAreTheVerbsOwn) {
    v1::Pipeline stored;
    stored.mutable_spec()->add_table_overrides()->set_paused(true);
    v1::Pipeline update;
    update.mutable_spec()->add_tables("public.*");
    update.mutable_spec()->add_table_overrides()->set_resync_counter(7);
    for (const char* path : {"", "spec", "*"}) {
        google::protobuf::FieldMask mask;
        if (*path != '\0') {
            mask.add_paths(path);
        }
        ASSERT_TRUE(ApplyUpdate(update, mask, stored).ok());
        ASSERT_EQ(stored.spec().table_overrides_size(), 1);
        EXPECT_TRUE(stored.spec().table_overrides(0).paused());
        EXPECT_EQ(stored.spec().table_overrides(0).resync_counter(), 0);
    }
    google::protobuf::FieldMask mask;
    mask.add_paths("spec.table_overrides");
    EXPECT_EQ(base::ReasonOf(ApplyUpdate(update, mask, stored)), "FIELD_READ_ONLY");
}

}  // namespace
}  // namespace millrace::domain
