#include "control-plane/domain/connector_spec.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "base/status.h"

namespace millrace::domain {
namespace {

using testing::HasSubstr;
using testing::Not;

v1::DataPlane Plane() {
    v1::DataPlane plane;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
        R"pb(
            metadata { name: "tenants/t/dataPlanes/d" }
            status {
              public_key_pem: "pem"
              key_fingerprint: "SHA256:aa"
              descriptors {
                type: "postgres"
                is_source: true
                is_destination: true
                options { name: "host" kind: KIND_STRING required: true documentation: "server's name." }
                options { name: "port" kind: KIND_INTEGER default_value: "5432" required: true }
                options { name: "tls" kind: KIND_BOOLEAN }
                options { name: "timeout" kind: KIND_DURATION }
                options { name: "buffer" kind: KIND_BYTES }
                options { name: "mode" kind: KIND_CHOICE choices: "a" choices: "b" }
                options { name: "password" kind: KIND_STRING secret: true }
              }
              descriptors {
                type: "vault"
                is_source: true
                options { name: "key" kind: KIND_STRING secret: true required: true }
              }
            })pb",
        &plane));
    return plane;
}

v1::ConnectorSpec Spec(std::map<std::string, std::string> options = {{"host", "db"}}) {
    v1::ConnectorSpec spec;
    spec.set_type("postgres");
    spec.set_data_plane("tenants/t/dataPlanes/d");
    spec.mutable_options()->insert(options.begin(), options.end());
    return spec;
}

TEST(ConnectorSpec, AcceptsWhatTheDescriptorAllows) {
    EXPECT_TRUE(CheckConnectorSpec(Spec(), Plane()).ok());
    v1::ConnectorSpec spec = Spec({{"host", "db"},
                                   {"port", "1"},
                                   {"tls", "true"},
                                   {"timeout", "250ms"},
                                   {"buffer", "16MB"},
                                   {"mode", "b"}});
    spec.set_sealed_secrets("-----BEGIN CMS-----\n");
    spec.set_sealed_to("SHA256:aa");
    const absl::Status status = CheckConnectorSpec(spec, Plane());
    EXPECT_TRUE(status.ok()) << status;
}

TEST(ConnectorSpec, NamesKnownTypesForAnUnknownOne) {
    v1::ConnectorSpec spec = Spec();
    spec.set_type("oracle");
    const absl::Status status = CheckConnectorSpec(spec, Plane());
    EXPECT_EQ(base::ReasonOf(status), "CONNECTOR_TYPE_UNKNOWN");
    EXPECT_EQ(base::RemedyOf(status), "Known types: postgres, vault.");
}

TEST(ConnectorSpec, NamesTheNearestOptionForAnUnknownOne) {
    const absl::Status status = CheckConnectorSpec(Spec({{"host", "db"}, {"prot", "1"}}), Plane());
    EXPECT_EQ(base::ReasonOf(status), "OPTION_UNKNOWN");
    EXPECT_EQ(base::RemedyOf(status), "Did you mean \"port\"?");
    EXPECT_THAT(base::RemedyOf(CheckConnectorSpec(Spec({{"host", "db"}, {"frequency", "1"}}), Plane())),
                HasSubstr("host, port, tls"));
}

TEST(ConnectorSpec, RefusesASecretInClearWithoutRepeatingIt) {
    const absl::Status status = CheckConnectorSpec(Spec({{"host", "db"}, {"password", "hunter2"}}), Plane());
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(base::ReasonOf(status), "SECRET_IN_CLEAR");
    EXPECT_THAT(base::Describe(status), Not(HasSubstr("hunter2")));
}

TEST(ConnectorSpec, NeverRepeatsAValue) {
    for (const auto& [option, value] : std::map<std::string, std::string>{{"port", "planted"},
                                                                          {"tls", "planted"},
                                                                          {"timeout", "planted"},
                                                                          {"buffer", "planted"},
                                                                          {"mode", "planted"},
                                                                          {"nothing", "planted"}}) {
        const absl::Status status = CheckConnectorSpec(Spec({{"host", "db"}, {option, value}}), Plane());
        EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << option;
        EXPECT_THAT(base::Describe(status), Not(HasSubstr("planted")));
        EXPECT_NE(base::RemedyOf(status), "") << option;
    }
}

TEST(ConnectorSpec, TellsAllProblemsAtOnce) {
    const absl::Status status = CheckConnectorSpec(Spec({{"port", "x"}, {"timeout", "5"}}), Plane());
    EXPECT_EQ(base::ReasonOf(status), "OPTION_INVALID");
    EXPECT_THAT(std::string(status.message()), HasSubstr("\"port\""));
    EXPECT_THAT(std::string(status.message()), HasSubstr("\"timeout\""));
    EXPECT_THAT(std::string(status.message()), HasSubstr("\"host\" is missing"));
}

TEST(ConnectorSpec, WantsRequiredOptionsAndSecrets) {
    EXPECT_EQ(base::ReasonOf(CheckConnectorSpec(Spec({}), Plane())), "OPTION_MISSING");
    EXPECT_EQ(base::ReasonOf(CheckConnectorSpec(Spec({{"host", ""}}), Plane())), "OPTION_MISSING");
    v1::ConnectorSpec vault = Spec({});
    vault.set_type("vault");
    EXPECT_EQ(base::ReasonOf(CheckConnectorSpec(vault, Plane())), "SECRETS_NOT_SEALED");
    vault.set_sealed_secrets("-----BEGIN CMS-----\n");
    vault.set_sealed_to("SHA256:aa");
    EXPECT_TRUE(CheckConnectorSpec(vault, Plane()).ok());
}

TEST(ConnectorSpec, WantsSecretsSealedToTheCurrentKey) {
    v1::ConnectorSpec spec = Spec();
    spec.set_sealed_secrets("-----BEGIN CMS-----\n");
    spec.set_sealed_to("SHA256:bb");
    const absl::Status status = CheckConnectorSpec(spec, Plane());
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(base::ReasonOf(status), "SEALED_TO_OTHER_KEY");
    spec.set_sealed_secrets("{\"password\":\"hunter2\"}");
    EXPECT_EQ(base::ReasonOf(CheckConnectorSpec(spec, Plane())), "SEALED_SECRETS_INVALID");
}

TEST(ConnectorSpec, SaysSoWhenThePlaneNeverConnected) {
    v1::DataPlane plane = Plane();
    plane.clear_status();
    const absl::Status status = CheckConnectorSpec(Spec(), plane);
    EXPECT_EQ(base::ReasonOf(status), "PLANE_NEVER_CONNECTED");
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace millrace::domain
