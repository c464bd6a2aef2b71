#include "data-plane/agent/assignment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "data-plane/agent/toy_connector.h"
#include "millrace/v1/link.pb.h"

namespace millrace::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class AssignmentTest : public ::testing::Test {
 protected:
    AssignmentTest() {
        testing::RegisterToy(server_, registry_);
        keys_ = *base::GenerateKeyPair();
        translator_.emplace(registry_, keys_, *base::Fingerprint(keys_.public_pem));
    }

    v1::PipelineConfig Pipeline(const std::string& id) const {
        v1::PipelineConfig proto;
        proto.set_name("tenants/default/pipelines/" + id);
        proto.set_pipeline_id(id);
        proto.set_uid("uid-" + id);
        proto.set_generation(3);
        proto.mutable_spec()->set_desired_state(v1::PipelineSpec::DESIRED_STATE_RUNNING);
        proto.mutable_spec()->add_tables("public.*");
        proto.mutable_spec()->add_exclude("public.audit");
        (*proto.mutable_spec()->mutable_keys())["public.orders"] = "orders_code_key";
        proto.mutable_source()->set_type("toy");
        (*proto.mutable_source()->mutable_options())["host"] = "db";
        proto.mutable_destination()->set_type("sink");
        return proto;
    }

    std::string Sealed(const std::string& json) const {
        return *base::Seal(base::Secret(json), keys_.public_pem);
    }

    testing::ToyServer server_;
    sdk::ConnectorRegistry registry_;
    base::KeyPair keys_;
    std::optional<Translator> translator_;
};

TEST_F(AssignmentTest, EveryFieldOfAPipelineIsTakenOver) {
    v1::PipelineConfig proto = Pipeline("shop");
    proto.mutable_spec()->mutable_flush()->set_rows(500);
    proto.mutable_spec()->set_refused_values(v1::PipelineSpec::REFUSED_VALUES_TEXT);
    proto.mutable_spec()->set_codec(v1::PipelineSpec::CODEC_DEBEZIUM_JSON);
    proto.mutable_spec()->mutable_flush()->mutable_interval()->set_seconds(2);
    proto.mutable_spec()->mutable_flush()->mutable_interval()->set_nanos(500'000'000);
    v1::ColumnRule& rule = *proto.mutable_spec()->add_columns();
    rule.set_table("public.people");
    rule.add_include("id");
    rule.add_exclude("ssn");
    rule.add_hash("email");
    const auto config = translator_->Pipeline(proto);
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_THAT(config->columns,
                ElementsAre(config::ColumnRule{
                    .table = "public.people", .include = {"id"}, .exclude = {"ssn"}, .hash = {"email"}}));
    EXPECT_EQ(config->name, "tenants/default/pipelines/shop");
    EXPECT_EQ(config->id, "shop");
    EXPECT_EQ(config->uid, "uid-shop");
    EXPECT_EQ(config->generation, 3);
    EXPECT_THAT(config->selection.tables, ElementsAre("public.*"));
    EXPECT_THAT(config->selection.exclude, ElementsAre("public.audit"));
    EXPECT_EQ(config->selection.keys.at("public.orders"), "orders_code_key");
    EXPECT_EQ(config->source.options.String("host"), "db");
    EXPECT_EQ(config->source.options.Integer("port"), 7) << "defaults are filled in";
    EXPECT_EQ(config->flush.rows, 500);
    EXPECT_EQ(config->refused, sdk::RefusedValues::kText);
    EXPECT_EQ(config->codec, config::Codec::kDebeziumJson);
    EXPECT_FALSE(config->flush.bytes.has_value());
    EXPECT_EQ(config->flush.interval, std::chrono::milliseconds(2500));
    EXPECT_FALSE(config->paused);
    EXPECT_FALSE(config->removed);
}

TEST_F(AssignmentTest, DesiredStateBecomesPausedAndRemoved) {
    v1::PipelineConfig proto = Pipeline("shop");
    proto.mutable_spec()->set_desired_state(v1::PipelineSpec::DESIRED_STATE_PAUSED);
    EXPECT_TRUE(translator_->Pipeline(proto)->paused);
    proto.mutable_spec()->set_desired_state(v1::PipelineSpec::DESIRED_STATE_DELETED);
    EXPECT_TRUE(translator_->Pipeline(proto)->removed);
}

TEST_F(AssignmentTest, SealedSecretsBecomeSecretOptions) {
    v1::PipelineConfig proto = Pipeline("shop");
    proto.mutable_source()->set_sealed_secrets(Sealed(R"({"password":"hunter2"})"));
    const auto config = translator_->Pipeline(proto);
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->source.options.GetSecret("password").Reveal(), "hunter2");
    EXPECT_FALSE(config->source.options.values.contains("password"));
}

TEST_F(AssignmentTest, SecretsSealedToAnotherKeyAreRefusedByName) {
    v1::PipelineConfig proto = Pipeline("shop");
    proto.mutable_source()->set_sealed_secrets(Sealed(R"({"password":"x"})"));
    proto.mutable_source()->set_sealed_to("SHA256:other");
    EXPECT_EQ(base::ReasonOf(translator_->Pipeline(proto).status()), "SEALED_TO_OTHER_KEY");
    proto.mutable_source()->clear_sealed_to();
    const auto stranger = *base::GenerateKeyPair();
    proto.mutable_source()->set_sealed_secrets(
        *base::Seal(base::Secret(R"({"password":"x"})"), stranger.public_pem));
    EXPECT_EQ(base::ReasonOf(translator_->Pipeline(proto).status()), "SEAL_BROKEN");
}

TEST_F(AssignmentTest, MalformedSecretsAreRefusedWithoutShowingThem) {
    for (const char* json : {R"(["hunter2"])", R"({"password":42})", "hunter2"}) {
        v1::PipelineConfig proto = Pipeline("shop");
        proto.mutable_source()->set_sealed_secrets(Sealed(json));
        const absl::Status status = translator_->Pipeline(proto).status();
        EXPECT_EQ(base::ReasonOf(status), "SECRETS_MALFORMED") << json;
        EXPECT_THAT(base::Describe(status), Not(HasSubstr("hunter2")));
    }
}

TEST_F(AssignmentTest, OneBadPipelineLeavesTheOthers) {
    v1::ConfigSnapshot snapshot;
    *snapshot.add_pipelines() = Pipeline("good");
    *snapshot.add_pipelines() = Pipeline("unknown-option");
    (*snapshot.mutable_pipelines(1)->mutable_source()->mutable_options())["hots"] = "db";
    *snapshot.add_pipelines() = Pipeline("unknown-type");
    snapshot.mutable_pipelines(2)->mutable_source()->set_type("oracle");
    *snapshot.add_pipelines() = Pipeline("no-source");
    snapshot.mutable_pipelines(3)->mutable_source()->set_type("sink");
    *snapshot.add_pipelines() = Pipeline("draft");
    snapshot.mutable_pipelines(4)->mutable_spec()->set_desired_state(v1::PipelineSpec::DESIRED_STATE_DRAFT);
    *snapshot.add_pipelines() = Pipeline("Bad_Id");
    *snapshot.add_pipelines() = Pipeline("no-tables");
    snapshot.mutable_pipelines(6)->mutable_spec()->clear_tables();
    *snapshot.add_pipelines() = Pipeline("also-good");

    const Assignment assignment = translator_->Snapshot(snapshot);
    std::vector<std::string> ids;
    for (const auto& pipeline : assignment.pipelines) {
        ids.push_back(pipeline.id);
    }
    EXPECT_THAT(ids, ElementsAre("good", "also-good"));
    std::map<std::string, std::string> reasons;
    for (const Refusal& refusal : assignment.refused) {
        reasons[refusal.resource.substr(refusal.resource.rfind('/') + 1)] = base::ReasonOf(refusal.status);
    }
    EXPECT_EQ(reasons.size(), 6u);
    EXPECT_EQ(reasons["unknown-option"], "OPTION_UNKNOWN");
    EXPECT_EQ(reasons["no-source"], "CONNECTOR_NOT_SOURCE");
    EXPECT_EQ(reasons["draft"], "PIPELINE_INVALID");
    EXPECT_EQ(reasons["Bad_Id"], "PIPELINE_INVALID");
    EXPECT_EQ(reasons["no-tables"], "PIPELINE_INVALID");
    EXPECT_TRUE(reasons.contains("unknown-type"));
}

TEST_F(AssignmentTest, APipelineThatStandsTwiceIsRefusedTwice) {
    v1::ConfigSnapshot snapshot;
    *snapshot.add_pipelines() = Pipeline("shop");
    *snapshot.add_pipelines() = Pipeline("shop");
    const Assignment assignment = translator_->Snapshot(snapshot);
    EXPECT_TRUE(assignment.pipelines.empty());
    EXPECT_EQ(assignment.refused.size(), 2u);
}

TEST_F(AssignmentTest, ADraftCanBeTranslatedToBeChecked) {
    v1::PipelineConfig proto = Pipeline("shop");
    proto.clear_uid();
    proto.mutable_spec()->set_desired_state(v1::PipelineSpec::DESIRED_STATE_DRAFT);
    EXPECT_TRUE(translator_->Pipeline(proto).ok());
}

}  // namespace
}  // namespace millrace::agent
