#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "control-plane/api/errors.h"
#include "control-plane/api/grpc_fixture.h"

namespace millrace::api {
namespace {

using testing::HasSubstr;

class ResourcesTest : public testing::Test {
 protected:
    ResourcesTest() : client_(control_.Connect()), worker_(control_.Connect(), {}) {
        worker_.AwaitSnapshot(0);
    }

    absl::StatusOr<v1::Connector> Update(const v1::Connector& connector,
                                         const std::vector<std::string>& paths, bool validate_only = false) {
        v1::UpdateConnectorRequest request;
        *request.mutable_connector() = connector;
        request.mutable_update_mask()->mutable_paths()->Assign(paths.begin(), paths.end());
        request.set_validate_only(validate_only);
        return client_.Call(*client_.connectors, &v1::ConnectorService::Stub::UpdateConnector, request);
    }

    absl::StatusOr<v1::Connector> Get(const std::string& id) {
        v1::GetConnectorRequest request;
        request.set_name(ConnectorName(id));
        return client_.Call(*client_.connectors, &v1::ConnectorService::Stub::GetConnector, request);
    }

    ControlPlane control_;
    Client client_;
    FakeWorker worker_;
};

TEST_F(ResourcesTest, NobodyIsServedWithoutTheToken) {
    for (const auto& [token, reason] : std::map<std::string, std::string>{
             {"", "TOKEN_MISSING"}, {"wrong", "TOKEN_WRONG"}, {kPlaneToken, "TOKEN_WRONG"}}) {
        Client stranger(control_.Connect(), token);
        const auto refused = stranger.GetPlane().status();
        EXPECT_EQ(refused.code(), absl::StatusCode::kUnauthenticated);
        EXPECT_EQ(base::ReasonOf(refused), reason);
        EXPECT_THAT(base::RemedyOf(refused), HasSubstr("MILLRACE_TOKEN"));
        EXPECT_NE(stranger.Trailer(kRequestIdKey), "");
        grpc::ClientContext context;
        stranger.Prepare(context, std::chrono::seconds(10));
        v1::WatchPipelineRequest request;
        request.set_name(PipelineName("p"));
        v1::WatchPipelineResponse response;
        const auto reader = stranger.pipelines->WatchPipeline(&context, request);
        EXPECT_FALSE(reader->Read(&response));
        EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
    }
    EXPECT_THAT(control_.metrics().Render(), HasSubstr("millrace_control_rpc_total{code=\"UNAUTHENTICATED\","
                                                       "method=\"DataPlaneService/GetDataPlane\"} 3"));
}

TEST_F(ResourcesTest, TenantAndPlaneAreThereFromTheStart) {
    const auto tenants =
        client_.Call(*client_.tenants, &v1::TenantService::Stub::ListTenants, v1::ListTenantsRequest());
    ASSERT_TRUE(tenants.ok());
    ASSERT_EQ(tenants->tenants_size(), 1);
    EXPECT_EQ(tenants->tenants(0).metadata().name(), kTenant);
    v1::ListDataPlanesRequest request;
    request.set_parent(kTenant);
    const auto planes = client_.Call(*client_.planes, &v1::DataPlaneService::Stub::ListDataPlanes, request);
    ASSERT_EQ(planes->data_planes_size(), 1);
    EXPECT_EQ(planes->data_planes(0).status().workers_size(), 1);
    v1::GetDataPlaneRequest other;
    other.set_name("tenants/default/dataPlanes/none");
    const auto none = client_.Call(*client_.planes, &v1::DataPlaneService::Stub::GetDataPlane, other);
    EXPECT_EQ(base::ReasonOf(none.status()), "DATA_PLANE_UNKNOWN");
}

TEST_F(ResourcesTest, ConnectorsAreMadeOnceAndChecked) {
    const auto made = client_.CreateConnector("a", "postgres");
    ASSERT_TRUE(made.ok()) << made.status();
    EXPECT_EQ(made->metadata().generation(), 1);
    EXPECT_EQ(made->metadata().etag(), Get("a")->metadata().etag());
    EXPECT_EQ(base::ReasonOf(client_.CreateConnector("a", "postgres").status()), "CONNECTOR_EXISTS");
    EXPECT_EQ(base::ReasonOf(client_.CreateConnector("A", "postgres").status()), "ID_INVALID");
    EXPECT_EQ(base::ReasonOf(client_.CreateConnector("b", "oracle").status()), "CONNECTOR_TYPE_UNKNOWN");
    EXPECT_EQ(base::ReasonOf(Get("b").status()), "CONNECTOR_UNKNOWN");
    v1::CreateConnectorRequest request;
    request.set_parent(kTenant);
    request.set_connector_id("c");
    request.mutable_connector()->mutable_spec()->set_type("postgres");
    request.mutable_connector()->mutable_spec()->set_data_plane(kPlane);
    auto& options = *request.mutable_connector()->mutable_spec()->mutable_options();
    options["host"] = "db";
    options["password"] = "hunter2";
    const auto clear =
        client_.Call(*client_.connectors, &v1::ConnectorService::Stub::CreateConnector, request);
    EXPECT_EQ(base::ReasonOf(clear.status()), "SECRET_IN_CLEAR");
    EXPECT_THAT(base::Describe(clear.status()), testing::Not(HasSubstr("hunter2")));
    options.erase("password");
    request.set_validate_only(true);
    EXPECT_TRUE(
        client_.Call(*client_.connectors, &v1::ConnectorService::Stub::CreateConnector, request).ok());
    EXPECT_TRUE(absl::IsNotFound(Get("c").status()));
    request.mutable_connector()->mutable_spec()->set_data_plane("tenants/other/dataPlanes/default");
    EXPECT_TRUE(absl::IsNotFound(
        client_.Call(*client_.connectors, &v1::ConnectorService::Stub::CreateConnector, request).status()));
}

TEST_F(ResourcesTest, UpdatesAreConditionalAndMasked) {
    const auto made = client_.CreateConnector("a", "postgres");
    ASSERT_TRUE(made.ok());
    v1::Connector change = *made;
    (*change.mutable_spec()->mutable_options())["host"] = "two";
    const auto dry = Update(change, {"spec.options"}, true);
    ASSERT_TRUE(dry.ok()) << dry.status();
    EXPECT_EQ(dry->spec().options().at("host"), "two");
    EXPECT_EQ(Get("a")->spec().options().at("host"), "db.a");
    const auto updated = Update(change, {"spec.options"});
    ASSERT_TRUE(updated.ok());
    EXPECT_EQ(updated->metadata().generation(), 2);
    EXPECT_EQ(updated->metadata().uid(), made->metadata().uid());
    EXPECT_NE(updated->metadata().etag(), made->metadata().etag());
    const auto stale = Update(change, {"spec.options"});
    EXPECT_EQ(stale.status().code(), absl::StatusCode::kAborted);
    EXPECT_EQ(base::ReasonOf(stale.status()), "ETAG_MISMATCH");
    change.mutable_metadata()->clear_etag();
    (*change.mutable_metadata()->mutable_labels())["team"] = "x";
    const auto labelled = Update(change, {"metadata.labels"});
    ASSERT_TRUE(labelled.ok());
    EXPECT_EQ(labelled->metadata().generation(), 2);
    EXPECT_EQ(base::ReasonOf(Update(change, {"spec.nothing"}).status()), "MASK_PATH_UNKNOWN");
    v1::DeleteConnectorRequest remove;
    remove.set_name(ConnectorName("a"));
    remove.set_etag(made->metadata().etag());
    EXPECT_EQ(client_.Call(*client_.connectors, &v1::ConnectorService::Stub::DeleteConnector, remove)
                  .status()
                  .code(),
              absl::StatusCode::kAborted);
    remove.clear_etag();
    EXPECT_TRUE(client_.Call(*client_.connectors, &v1::ConnectorService::Stub::DeleteConnector, remove).ok());
}

TEST_F(ResourcesTest, ListsInPages) {
    for (const char* id : {"a", "b", "c"}) {
        ASSERT_TRUE(client_.CreateConnector(id, "postgres").ok());
    }
    v1::ListConnectorsRequest request;
    request.set_parent(kTenant);
    request.set_page_size(2);
    const auto list = [&] {
        return client_.Call(*client_.connectors, &v1::ConnectorService::Stub::ListConnectors, request);
    };
    const auto first = list();
    ASSERT_TRUE(first.ok());
    EXPECT_EQ(first->connectors_size(), 2);
    request.set_page_token(first->next_page_token());
    const auto second = list();
    ASSERT_EQ(second->connectors_size(), 1);
    EXPECT_EQ(second->connectors(0).metadata().name(), ConnectorName("c"));
    EXPECT_EQ(second->next_page_token(), "");
    v1::ListPipelinesRequest pipelines;
    pipelines.set_parent(kTenant);
    pipelines.set_page_token(first->next_page_token());
    EXPECT_EQ(
        base::ReasonOf(
            client_.Call(*client_.pipelines, &v1::PipelineService::Stub::ListPipelines, pipelines).status()),
        "PAGE_TOKEN_INVALID");
    request.set_page_size(-1);
    EXPECT_EQ(base::ReasonOf(list().status()), "PAGE_SIZE_INVALID");
}

TEST_F(ResourcesTest, PipelinesAreDraftsOfConnectorsThatExist) {
    EXPECT_EQ(base::ReasonOf(client_.CreatePipeline("p").status()), "CONNECTOR_UNKNOWN");
    ASSERT_TRUE(client_.CreateConnector("src", "postgres").ok());
    ASSERT_TRUE(client_.CreateConnector("dst", "postgres").ok());
    EXPECT_EQ(base::ReasonOf(client_.CreatePipeline("P").status()), "ID_INVALID");
    const auto made = client_.CreatePipeline("p");
    ASSERT_TRUE(made.ok()) << made.status();
    EXPECT_EQ(made->spec().tables(0), "*.*");
    EXPECT_EQ(base::ReasonOf(client_.CreatePipeline("p").status()), "PIPELINE_EXISTS");
    v1::PausePipelineRequest pause;
    pause.set_name(PipelineName("p"));
    EXPECT_EQ(
        base::ReasonOf(
            client_.Call(*client_.pipelines, &v1::PipelineService::Stub::PausePipeline, pause).status()),
        "NOT_DEPLOYED");
    v1::UpdatePipelineRequest update;
    update.mutable_pipeline()->mutable_metadata()->set_name(PipelineName("p"));
    update.mutable_pipeline()->mutable_metadata()->set_etag(made->metadata().etag());
    update.mutable_pipeline()->mutable_spec()->add_tables("public.*");
    update.mutable_update_mask()->add_paths("spec.tables");
    const auto updated = client_.Call(*client_.pipelines, &v1::PipelineService::Stub::UpdatePipeline, update);
    ASSERT_TRUE(updated.ok()) << updated.status();
    EXPECT_EQ(updated->spec().tables(0), "public.*");
    EXPECT_EQ(updated->metadata().generation(), 2);
    EXPECT_EQ(
        base::ReasonOf(
            client_.Call(*client_.pipelines, &v1::PipelineService::Stub::UpdatePipeline, update).status()),
        "ETAG_MISMATCH");
    v1::ListPipelinesRequest list;
    list.set_parent(kTenant);
    EXPECT_EQ(
        client_.Call(*client_.pipelines, &v1::PipelineService::Stub::ListPipelines, list)->pipelines_size(),
        1);
}

}  // namespace
}  // namespace millrace::api
