#include "control-plane/store/sqlite_store.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "base/file.h"
#include "base/status.h"
#include "control-plane/store/resources.h"
#include "control-plane/store/sqlite_database.h"
#include "control-plane/store/store_conformance.h"

namespace millrace::store {
namespace {

class SqliteHome final : public StoreHome {
 public:
    SqliteHome() {
        std::string folder = std::filesystem::temp_directory_path() / "millrace-store-XXXXXX";
        folder_ = mkdtemp(folder.data());
    }
    ~SqliteHome() override { std::filesystem::remove_all(folder_); }
    std::unique_ptr<Store> Open() override {
        auto store = OpenSqliteStore(path());
        EXPECT_TRUE(store.ok()) << store.status();
        return store.ok() ? std::move(store).value() : nullptr;
    }
    [[nodiscard]] std::string path() const { return folder_ / "sub" / "control.db"; }

 private:
    std::filesystem::path folder_;
};

INSTANTIATE_TEST_SUITE_P(Sqlite, StoreConformance,
                         testing::Values(StoreKind{"sqlite", [] { return std::make_unique<SqliteHome>(); }}),
                         [](const auto& kind) { return kind.param.name; });

TEST(SqliteStore, IsOpenedByOneProcessAtATime) {
    SqliteHome home;
    const auto store = home.Open();
    const auto second = OpenSqliteStore(home.path());
    EXPECT_EQ(base::ReasonOf(second.status()), "STORE_LOCKED");
    EXPECT_NE(base::RemedyOf(second.status()), "");
}

TEST(SqliteStore, RefusesALaterLayoutAndAFileThatIsNone) {
    SqliteHome home;
    home.Open().reset();
    {
        const auto database = SqliteDatabase::Open(home.path());
        ASSERT_TRUE((*database)->Execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'").ok());
    }
    EXPECT_EQ(base::ReasonOf(OpenSqliteStore(home.path()).status()), "STORE_TOO_NEW");
    const std::string other = home.path() + ".other";
    ASSERT_TRUE(base::WriteFileAtomically(other, std::string(4096, 'x')).ok());
    EXPECT_EQ(base::ReasonOf(OpenSqliteStore(other).status()), "STORE_FAILED");
}

TEST(SqliteStore, ForgetsOldChanges) {
    SqliteHome home;
    const auto store = home.Open();
    {
        // Far ahead by hand: ten thousand durable commits would take long.
        const auto database = SqliteDatabase::Open(home.path());
        ASSERT_TRUE((*database)->Execute("UPDATE counters SET value = 20000 WHERE name = 'revision'").ok());
    }
    EXPECT_EQ(store->StartWatch(1, [](const Change&) {}).status().code(), absl::StatusCode::kOutOfRange);
    EXPECT_TRUE(store->StartWatch(20000 - kChangesKept, [](const Change&) {}).ok());
}

TEST(Resources, EnsurePlaneMakesBothOnce) {
    SqliteHome home;
    const auto store = home.Open();
    ASSERT_TRUE(EnsurePlane(*store, "tenants/t", "tenants/t/dataPlanes/d").ok());
    const int64_t revision = store->CurrentRevision().value();
    ASSERT_TRUE(EnsurePlane(*store, "tenants/t", "tenants/t/dataPlanes/d").ok());
    EXPECT_EQ(store->CurrentRevision().value(), revision);
    ASSERT_TRUE(store
                    ->View([](const Reader& reader) -> absl::Status {
                        ASSIGN_OR_RETURN(const auto plane,
                                         Load<v1::DataPlane>(reader, "tenants/t/dataPlanes/d"));
                        EXPECT_EQ(plane.display_name(), "d");
                        EXPECT_EQ(plane.metadata().etag(), "1");
                        EXPECT_EQ(plane.metadata().uid().size(), 36U);
                        return absl::OkStatus();
                    })
                    .ok());
}

}  // namespace
}  // namespace millrace::store
