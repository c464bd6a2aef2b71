#include "connectors/postgres/destination_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/pq.h"
#include "base/status.h"
#include "base/text.h"

namespace millrace::postgres {
namespace {

using ::testing::HasSubstr;

const Whereabouts kWhere{.database = "ware house", .role = "loader"};

absl::Status Of(std::string_view sqlstate, std::string_view message = "", std::string_view column = {}) {
    return DestinationError(base::SqlStateToStatus(sqlstate, message), kWhere, column);
}

TEST(DestinationError, PassingTroublesAreToBeRepeated) {
    EXPECT_TRUE(absl::IsUnavailable(Of("55P03")));
    EXPECT_EQ(base::ReasonOf(Of("55P03")), "TABLE_LOCKED");
    EXPECT_TRUE(absl::IsUnavailable(Of("57P01")));
    EXPECT_TRUE(absl::IsUnavailable(Of("57014")));
    EXPECT_TRUE(absl::IsUnavailable(Of("25P03")));
    EXPECT_EQ(base::ReasonOf(Of("25P03")), "STALLED");
    EXPECT_EQ(base::ReasonOf(Of("25006")), "READ_ONLY");
    EXPECT_TRUE(absl::IsAborted(Of("40001")));
    EXPECT_TRUE(absl::IsAborted(Of("40P01")));
    EXPECT_TRUE(absl::IsResourceExhausted(Of("53100")));
}

TEST(DestinationError, RefusedValuesNameTheColumnAndNeverTheValue) {
    const absl::Status status = Of("22P02", "invalid input syntax for type integer: \"secret\"", "amount");
    EXPECT_TRUE(absl::IsFailedPrecondition(status));
    EXPECT_EQ(base::ReasonOf(status), "VALUE_REJECTED");
    EXPECT_NE(base::Describe(status).find("\"amount\""), std::string::npos);
    EXPECT_EQ(base::Describe(status).find("secret"), std::string::npos);
    EXPECT_NE(base::RemedyOf(status), "");
}

TEST(DestinationError, MissingRightsComeWithTheGrant) {
    const auto remedy = [](std::string_view message) {
        const absl::Status status = Of("42501", message);
        EXPECT_TRUE(absl::IsPermissionDenied(status));
        return base::RemedyOf(status);
    };
    EXPECT_EQ(remedy("permission denied for database ware house"),
              "Run as the owner in the destination: GRANT CREATE ON DATABASE \"ware house\" TO \"loader\";");
    EXPECT_EQ(remedy("permission denied for schema shop"),
              "Run as the owner in the destination: GRANT USAGE, CREATE ON SCHEMA \"shop\" TO \"loader\";");
    EXPECT_EQ(remedy("must be owner of table orders"),
              "Run as the owner in the destination: ALTER TABLE \"orders\" OWNER TO \"loader\";");
    EXPECT_EQ(remedy("something else"),
              "Give role \"loader\" the right to create and write in the destination.");
}

TEST(DestinationError, ConstraintsHoldTheTable) {
    EXPECT_EQ(base::ReasonOf(Of("23505")), "KEY_CONFLICT");
    EXPECT_EQ(base::ReasonOf(Of("23503")), "CONSTRAINT_VIOLATED");
    EXPECT_TRUE(absl::IsFailedPrecondition(Of("23514")));
    EXPECT_EQ(base::ReasonOf(Of("P0001", "secret")), "TRIGGER_FAILED");
    EXPECT_EQ(base::Describe(Of("P0001", "secret")).find("secret"), std::string::npos);
    const auto remedy = [](std::string_view objects) {
        const std::string message = base::Concat("a row violates a constraint (SQLSTATE 23514) at schema s, table t", objects);
        return base::RemedyOf(DestinationError(
            base::MakeError(absl::StatusCode::kFailedPrecondition, "SQLSTATE_23514", message), kWhere));
    };
    EXPECT_THAT(remedy(""), HasSubstr("default partition"));
    EXPECT_THAT(remedy(", constraint positive"), HasSubstr("Drop constraints"));
    const absl::Status referred = Of("0A000", "cannot truncate a table referenced in a foreign key constraint");
    EXPECT_EQ(base::ReasonOf(referred), "CONSTRAINT_VIOLATED");
    EXPECT_THAT(base::RemedyOf(referred), HasSubstr("foreign keys"));
}

TEST(DestinationError, OthersPassUnchanged) {
    const absl::Status lost = base::MakeError(absl::StatusCode::kUnavailable, "CONNECTION_LOST", "gone");
    EXPECT_EQ(DestinationError(lost, kWhere), lost);
}

}  // namespace
}  // namespace millrace::postgres
