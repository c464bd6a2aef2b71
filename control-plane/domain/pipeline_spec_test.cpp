#include "control-plane/domain/pipeline_spec.h"

#include <gtest/gtest.h>

#include "base/status.h"

namespace millrace::domain {
namespace {

v1::PipelineSpec Spec() {
    v1::PipelineSpec spec;
    spec.set_source("tenants/t/connectors/a");
    spec.set_destination("tenants/t/connectors/b");
    return spec;
}

v1::Connector Connector(const std::string& name, const std::string& type) {
    v1::Connector connector;
    connector.mutable_metadata()->set_name(name);
    connector.mutable_spec()->set_type(type);
    connector.mutable_spec()->set_data_plane("tenants/t/dataPlanes/d");
    return connector;
}

v1::DataPlane Plane() {
    v1::DataPlane plane;
    auto* source = plane.mutable_status()->add_descriptors();
    source->set_type("from");
    source->set_is_source(true);
    auto* destination = plane.mutable_status()->add_descriptors();
    destination->set_type("to");
    destination->set_is_destination(true);
    return plane;
}

TEST(PipelineSpec, DefaultsToAllTablesOfADraft) {
    v1::PipelineSpec spec = Spec();
    FillDefaults(spec);
    ASSERT_EQ(spec.tables_size(), 1);
    EXPECT_EQ(spec.tables(0), "*.*");
    EXPECT_EQ(spec.desired_state(), v1::PipelineSpec::DESIRED_STATE_DRAFT);
    EXPECT_TRUE(CheckPipelineSpec(spec).ok());
}

TEST(PipelineSpec, RefusesWhatCannotRun) {
    v1::PipelineSpec spec = Spec();
    spec.clear_source();
    EXPECT_EQ(base::ReasonOf(CheckPipelineSpec(spec)), "SOURCE_MISSING");
    spec = Spec();
    spec.clear_destination();
    EXPECT_EQ(base::ReasonOf(CheckPipelineSpec(spec)), "DESTINATION_MISSING");
    spec = Spec();
    spec.set_destination(spec.source());
    EXPECT_EQ(base::ReasonOf(CheckPipelineSpec(spec)), "SAME_CONNECTOR");
    for (const char* glob : {"orders", ".orders", "public.", ""}) {
        spec = Spec();
        spec.add_exclude(glob);
        EXPECT_EQ(base::ReasonOf(CheckPipelineSpec(spec)), "TABLE_GLOB_INVALID") << glob;
    }
    for (const auto& [table, index] : {std::pair("orders", "k"), std::pair("public.orders", ""), std::pair(".t", "k")}) {
        spec = Spec();
        (*spec.mutable_keys())[table] = index;
        EXPECT_EQ(base::ReasonOf(CheckPipelineSpec(spec)), "KEYS_INVALID") << table;
    }
    spec = Spec();
    (*spec.mutable_keys())["public.orders"] = "orders_code_key";
    EXPECT_TRUE(CheckPipelineSpec(spec).ok());
    spec = Spec();
    spec.mutable_flush()->set_rows(-1);
    EXPECT_EQ(base::ReasonOf(CheckPipelineSpec(spec)), "FLUSH_INVALID");
    for (const int connections : {-1, 33}) {
        spec = Spec();
        spec.mutable_backfill()->set_connections(connections);
        EXPECT_EQ(base::ReasonOf(CheckPipelineSpec(spec)), "BACKFILL_INVALID") << connections;
    }
    spec = Spec();
    spec.mutable_backfill()->set_rows_per_second(-1);
    EXPECT_EQ(base::ReasonOf(CheckPipelineSpec(spec)), "BACKFILL_INVALID");
    spec = Spec();
    spec.set_refused_values(static_cast<v1::PipelineSpec::RefusedValues>(99));
    EXPECT_EQ(base::ReasonOf(CheckPipelineSpec(spec)), "REFUSED_VALUES_INVALID");
    spec = Spec();
    spec.set_dropped_columns(static_cast<v1::PipelineSpec::DroppedColumns>(99));
    EXPECT_EQ(base::ReasonOf(CheckPipelineSpec(spec)), "DROPPED_COLUMNS_INVALID");
    spec = Spec();
    spec.set_codec(static_cast<v1::PipelineSpec::Codec>(99));
    EXPECT_EQ(base::ReasonOf(CheckPipelineSpec(spec)), "CODEC_INVALID");
}

TEST(PipelineSpec, ColumnRulesNameTablesAndColumns) {
    v1::PipelineSpec spec = Spec();
    v1::ColumnRule& rule = *spec.add_columns();
    rule.set_table("public.people");
    EXPECT_EQ(base::ReasonOf(CheckPipelineSpec(spec)), "COLUMN_RULE_INVALID") << "it names no column";
    rule.add_hash("email");
    EXPECT_TRUE(CheckPipelineSpec(spec).ok());
    rule.add_exclude("");
    EXPECT_EQ(base::ReasonOf(CheckPipelineSpec(spec)), "COLUMN_RULE_INVALID");
    rule.clear_exclude();
    rule.set_table("people");
    EXPECT_EQ(base::ReasonOf(CheckPipelineSpec(spec)), "TABLE_GLOB_INVALID");
}

TEST(PipelineSpec, WantsASourceAndADestinationOfOnePlane) {
    const auto from = Connector("tenants/t/connectors/a", "from");
    const auto to = Connector("tenants/t/connectors/b", "to");
    EXPECT_TRUE(CheckPipelineConnectors(from, to, Plane()).ok());
    EXPECT_EQ(base::ReasonOf(CheckPipelineConnectors(to, from, Plane())), "NOT_A_SOURCE");
    EXPECT_EQ(base::ReasonOf(CheckPipelineConnectors(from, from, Plane())), "NOT_A_DESTINATION");
    auto elsewhere = to;
    elsewhere.mutable_spec()->set_data_plane("tenants/t/dataPlanes/e");
    EXPECT_EQ(base::ReasonOf(CheckPipelineConnectors(from, elsewhere, Plane())), "DIFFERENT_PLANES");
}

TEST(PipelineSpec, SendsThePlaneAllThatItNeeds) {
    v1::Pipeline pipeline;
    pipeline.mutable_metadata()->set_name("tenants/t/pipelines/shop");
    pipeline.mutable_metadata()->set_uid("u");
    pipeline.mutable_metadata()->set_generation(3);
    *pipeline.mutable_spec() = Spec();
    const auto config = MakePipelineConfig(pipeline, Connector("tenants/t/connectors/a", "from"),
                                           Connector("tenants/t/connectors/b", "to"));
    EXPECT_EQ(config.pipeline_id(), "shop");
    EXPECT_EQ(config.uid(), "u");
    EXPECT_EQ(config.generation(), 3);
    EXPECT_EQ(config.source().type(), "from");
    EXPECT_EQ(config.destination().type(), "to");
}

TEST(PipelineSpec, OnlyDraftsAreUnknownToThePlane) {
    v1::Pipeline pipeline;
    EXPECT_FALSE(IsDeployed(pipeline));
    pipeline.mutable_spec()->set_desired_state(v1::PipelineSpec::DESIRED_STATE_DRAFT);
    EXPECT_FALSE(IsDeployed(pipeline));
    for (const auto state : {v1::PipelineSpec::DESIRED_STATE_RUNNING, v1::PipelineSpec::DESIRED_STATE_PAUSED,
                             v1::PipelineSpec::DESIRED_STATE_DELETED}) {
        pipeline.mutable_spec()->set_desired_state(state);
        EXPECT_TRUE(IsDeployed(pipeline));
    }
}

}  // namespace
}  // namespace millrace::domain
