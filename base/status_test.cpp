#include "base/status.h"

#include <gtest/gtest.h>

#include <memory>

namespace millrace::base {
namespace {

absl::Status SlotLost() {
    return MakeError(absl::StatusCode::kFailedPrecondition, "SLOT_LOST", "slot m1 was invalidated",
                     "Resync the pipeline.");
}

TEST(Status, CarriesReasonAndRemedy) {
    const absl::Status status = SlotLost();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(ReasonOf(status), "SLOT_LOST");
    EXPECT_EQ(RemedyOf(status), "Resync the pipeline.");
    EXPECT_EQ(Describe(status), "slot m1 was invalidated. Resync the pipeline.");
}

TEST(Status, AnnotateKeepsCodeAndPayloads) {
    const absl::Status status = Annotate(SlotLost(), "streaming shop");
    EXPECT_EQ(status.message(), "streaming shop: slot m1 was invalidated");
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(ReasonOf(status), "SLOT_LOST");
    EXPECT_EQ(RemedyOf(status), "Resync the pipeline.");
}

TEST(Status, AnnotateLeavesOkAlone) {
    EXPECT_TRUE(Annotate(absl::OkStatus(), "anything").ok());
}

TEST(Status, ReasonFallsBackToTheCode) {
    EXPECT_EQ(ReasonOf(absl::UnavailableError("gone")), "UNAVAILABLE");
    EXPECT_EQ(ReasonOf(MakeError(absl::StatusCode::kAborted, "", "gone")), "ABORTED");
    EXPECT_EQ(RemedyOf(absl::UnavailableError("gone")), "");
}

TEST(Status, DescribeIsOneLine) {
    EXPECT_EQ(Describe(MakeError(absl::StatusCode::kInternal, "X", "first\nsecond.", "Do\tit.")),
              "first second. Do it.");
    EXPECT_EQ(Describe(absl::Status(absl::StatusCode::kInternal, "")), "INTERNAL");
    EXPECT_EQ(Describe(absl::OkStatus()), "OK");
}

absl::StatusOr<std::unique_ptr<int>> MakeBox(bool fails) {
    if (fails) {
        return SlotLost();
    }
    return std::make_unique<int>(7);
}

absl::StatusOr<int> SumOfTwo(bool second_fails) {
    ASSIGN_OR_RETURN(const std::unique_ptr<int> first, MakeBox(false));
    ASSIGN_OR_RETURN(const std::unique_ptr<int> second, MakeBox(second_fails));
    return *first + *second;
}

TEST(Status, AssignOrReturnMovesTheValueOrReturnsTheError) {
    EXPECT_EQ(*SumOfTwo(false), 14);
    EXPECT_EQ(ReasonOf(SumOfTwo(true).status()), "SLOT_LOST");
}

absl::Status Guarded(const absl::Status& inner, int& reached) {
    RETURN_IF_ERROR(inner);
    ++reached;
    return absl::OkStatus();
}

TEST(Status, ReturnIfErrorGoesOnOnlyWhenOk) {
    int reached = 0;
    EXPECT_FALSE(Guarded(SlotLost(), reached).ok());
    EXPECT_EQ(reached, 0);
    EXPECT_TRUE(Guarded(absl::OkStatus(), reached).ok());
    EXPECT_EQ(reached, 1);
}

}  // namespace
}  // namespace millrace::base
