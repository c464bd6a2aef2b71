#include "connectors/duckdb/engine_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/status.h"

namespace millrace::duckdb {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(StatusFromEngine, NamesTheHolderOfALock) {
    const absl::Status status =
        StatusFromEngine(EngineErrorKind::kIo,
                         "IO Error: Could not set lock on file \"/data/shop.duckdb\": Conflicting lock is "
                         "held in /usr/bin/reader (PID "
                         "4711). See also https://duckdb.org/docs/stable/connect/concurrency");
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(base::ReasonOf(status), "FILE_LOCKED");
    EXPECT_THAT(base::Describe(status), HasSubstr("/data/shop.duckdb is open in another process (pid 4711)"));
}

TEST(StatusFromEngine, KnowsALockWithoutAHolder) {
    const absl::Status status =
        StatusFromEngine(EngineErrorKind::kIo,
                         "IO Error: Could not set lock on file \"/data/shop.duckdb\": No locks available");
    EXPECT_EQ(base::ReasonOf(status), "FILE_LOCKED");
    EXPECT_THAT(base::Describe(status), Not(HasSubstr("pid")));
}

TEST(StatusFromEngine, NeverCarriesAValue) {
    for (const auto& [kind, message] : std::vector<std::pair<EngineErrorKind, std::string>>{
             {EngineErrorKind::kValue, "Conversion Error: Could not convert string 'PLANTED' to INT32"},
             {EngineErrorKind::kConstraint, "Constraint Error: Duplicate key \"id: PLANTED\""},
             {EngineErrorKind::kConflict,
              "TransactionContext Error: Failed to commit: PRIMARY KEY constraint violated: duplicate key "
              "\"PLANTED\""},
             {EngineErrorKind::kDefinition, "Binder Error: no such column\n\nLINE 1: SELECT 'PLANTED'"}}) {
        EXPECT_THAT(base::Describe(StatusFromEngine(kind, message)), Not(HasSubstr("PLANTED")));
    }
}

TEST(StatusFromEngine, TellsRetryFromHold) {
    EXPECT_EQ(
        StatusFromEngine(EngineErrorKind::kConflict, "TransactionContext Error: Conflict on update!").code(),
        absl::StatusCode::kAborted);
    EXPECT_EQ(StatusFromEngine(EngineErrorKind::kMemory, "Out of Memory Error: …").code(),
              absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(
        base::ReasonOf(StatusFromEngine(EngineErrorKind::kIo, "IO Error: write: No space left on device")),
        "DISK_FULL");
    EXPECT_EQ(
        base::ReasonOf(StatusFromEngine(EngineErrorKind::kConflict,
                                        "TransactionContext Error: Failed to commit: Could not write file "
                                        "\"/data/shop.duckdb.wal\": No space left on device")),
        "DISK_FULL");
    EXPECT_EQ(StatusFromEngine(EngineErrorKind::kConflict, "… constraint …").code(),
              absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace millrace::duckdb
