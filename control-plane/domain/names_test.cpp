#include <gtest/gtest.h>

#include "base/status.h"
#include "control-plane/domain/nearest_name.h"
#include "control-plane/domain/resource_name.h"

namespace millrace::domain {
namespace {

TEST(ResourceName, TakesNamesApartAndPutsThemTogether) {
    const auto name = ParseName(Collection::kPipelines, "tenants/default/pipelines/shop-1");
    ASSERT_TRUE(name.ok()) << name.status();
    EXPECT_EQ(name->parent, "tenants/default");
    EXPECT_EQ(name->id, "shop-1");
    EXPECT_EQ(MakeName(Collection::kDataPlanes, "tenants/t", "d"), "tenants/t/dataPlanes/d");
    EXPECT_TRUE(CheckTenantName("tenants/default").ok());
}

TEST(ResourceName, RefusesEverythingElseWithTheFormToUse) {
    for (const char* bad :
         {"", "shop", "tenants/default", "tenants/default/pipelines/", "tenants//pipelines/a",
          "tenants/default/connectors/a", "tenants/default/pipelines/a/b", "/tenants/t/pipelines/a",
          "tenants/default/pipelines/A", "tenants/default/pipelines/a b"}) {
        const auto status = ParseName(Collection::kPipelines, bad).status();
        EXPECT_EQ(base::ReasonOf(status), "NAME_INVALID") << bad;
        EXPECT_EQ(base::RemedyOf(status), "Use tenants/TENANT/pipelines/ID.") << bad;
    }
    EXPECT_EQ(base::ReasonOf(CheckTenantName("tenants/a/b")), "NAME_INVALID");
}

TEST(ResourceName, IdsAreWhatTopicsAndSlotsCanCarry) {
    for (const char* good : {"a", "0", "shop-2", "a-b-c"}) {
        EXPECT_TRUE(CheckId("pipeline", good).ok()) << good;
    }
    EXPECT_TRUE(CheckId("pipeline", std::string(40, 'a')).ok());
    const std::string too_long(41, 'a');
    for (const char* bad : {"", "-a", "a-", "Shop", "a_b", "a.b", "ä", too_long.c_str()}) {
        const auto status = CheckId("pipeline", bad);
        EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad;
        EXPECT_EQ(base::ReasonOf(status), "ID_INVALID") << bad;
    }
}

TEST(NearestName, FindsTypingErrorsAndNothingFarAway) {
    const std::vector<std::string> known = {"host", "port", "user", "password", "sslmode"};
    EXPECT_EQ(NearestName("hots", known), "host");
    EXPECT_EQ(NearestName("pasword", known), "password");
    EXPECT_EQ(NearestName("ssl_mode", known), "sslmode");
    EXPECT_EQ(NearestName("frequency", known), "");
    EXPECT_EQ(NearestName(std::string(100000, 'h'), known), "");
    EXPECT_EQ(NearestName("x", {}), "");
}

}  // namespace
}  // namespace millrace::domain
