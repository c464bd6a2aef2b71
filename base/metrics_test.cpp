#include "base/metrics.h"

#include <gtest/gtest.h>

#include <string>

namespace millrace::base {
namespace {

bool HasLine(const std::string& page, const std::string& line) {
    return ("\n" + page).find("\n" + line + "\n") != std::string::npos;
}

TEST(Metrics, RendersCountersGaugesAndHistograms) {
    Metrics metrics;
    metrics.GetCounter("millrace_rows_total", "Rows.", {{"table", "public.orders"}}).Add(3);
    metrics.GetGauge("millrace_lag_seconds", "Lag in seconds.").Set(1.5);
    metrics.GetHistogram("millrace_flush_seconds", "Flush time in seconds.").Observe(0.02);
    const std::string page = metrics.Render();
    EXPECT_TRUE(HasLine(page, "# TYPE millrace_rows_total counter")) << page;
    EXPECT_TRUE(HasLine(page, "millrace_rows_total{table=\"public.orders\"} 3")) << page;
    EXPECT_TRUE(HasLine(page, "# HELP millrace_lag_seconds Lag in seconds.")) << page;
    EXPECT_TRUE(HasLine(page, "millrace_lag_seconds 1.5")) << page;
    EXPECT_TRUE(HasLine(page, "millrace_flush_seconds_bucket{le=\"0.01\"} 0")) << page;
    EXPECT_TRUE(HasLine(page, "millrace_flush_seconds_bucket{le=\"0.025\"} 1")) << page;
    EXPECT_TRUE(HasLine(page, "millrace_flush_seconds_bucket{le=\"600\"} 1")) << page;
    EXPECT_TRUE(HasLine(page, "millrace_flush_seconds_count 1")) << page;
}

TEST(Metrics, SameNameAndLabelsIsTheSameInstrument) {
    Metrics metrics;
    Counter& one = metrics.GetCounter("millrace_rows_total", "Rows.", {{"table", "a"}});
    Counter& same = metrics.GetCounter("millrace_rows_total", "Rows.", {{"table", "a"}});
    Counter& other = metrics.GetCounter("millrace_rows_total", "Rows.", {{"table", "b"}});
    EXPECT_EQ(&one, &same);
    EXPECT_NE(&one, &other);
    one.Add();
    same.Add();
    other.Add();
    EXPECT_TRUE(HasLine(metrics.Render(), "millrace_rows_total{table=\"a\"} 2"));
    EXPECT_TRUE(HasLine(metrics.Render(), "millrace_rows_total{table=\"b\"} 1"));
}

TEST(Metrics, WrongNameIsLoggedAndLeftOutButUsable) {
    Metrics metrics;
    testing::internal::CaptureStderr();
    Counter& counter = metrics.GetCounter("not a name", "Rows.");
    EXPECT_NE(testing::internal::GetCapturedStderr().find("metric left out"), std::string::npos);
    counter.Add();
    EXPECT_EQ(metrics.Render(), "");
}

TEST(Metrics, NameOfAnotherKindIsLoggedAndLeftOut) {
    Metrics metrics;
    metrics.GetCounter("millrace_things", "Things.").Add();
    testing::internal::CaptureStderr();
    metrics.GetGauge("millrace_things", "Things.").Set(9);
    EXPECT_NE(testing::internal::GetCapturedStderr().find("metric left out"), std::string::npos);
    EXPECT_TRUE(HasLine(metrics.Render(), "millrace_things 1"));
}

}  // namespace
}  // namespace millrace::base
