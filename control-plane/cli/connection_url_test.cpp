#include "control-plane/cli/connection_url.h"

#include <gtest/gtest.h>

namespace millrace::cli {
namespace {

TEST(ConnectionUrl, TakesAllPartsApart) {
    auto url = ParseConnectionUrl(
        "postgres://us%40er:p%2Fw@db.example:5433/sho%20p?sslmode=require&connect_timeout=5");
    ASSERT_TRUE(url.ok()) << url.status();
    EXPECT_EQ(url->scheme, "postgres");
    EXPECT_EQ(url->user, "us@er");
    EXPECT_EQ(url->password.Reveal(), "p/w");
    EXPECT_EQ(url->host, "db.example");
    EXPECT_EQ(url->port, "5433");
    EXPECT_EQ(url->path, "/sho p");
    EXPECT_EQ(url->parameters.at("sslmode"), "require");
    EXPECT_EQ(url->parameters.at("connect_timeout"), "5");
}

TEST(ConnectionUrl, FilePathsKeepTheirSlash) {
    EXPECT_EQ(ParseConnectionUrl("duckdb:///var/lib/w.duckdb")->path, "/var/lib/w.duckdb");
    EXPECT_EQ(ParseConnectionUrl("duckdb:w.duckdb")->path, "w.duckdb");
}

TEST(ConnectionUrl, Ipv6HostsStandInBrackets) {
    auto url = ParseConnectionUrl("postgres://u@[::1]:5432/d");
    EXPECT_EQ(url->host, "::1");
    EXPECT_EQ(url->port, "5432");
}

TEST(ConnectionUrl, PasswordMayHoldAnAtSign) {
    EXPECT_EQ(ParseConnectionUrl("postgres://u:a@b@h/d")->password.Reveal(), "a@b");
}

TEST(ConnectionUrl, ErrorsDoNotRepeatTheUrl) {
    for (const char* bad : {"hunter2", "postgres://u:hunter2%zz@h/d", "postgres://u:hunter2@h:port/d"}) {
        auto url = ParseConnectionUrl(bad);
        ASSERT_FALSE(url.ok()) << bad;
        EXPECT_EQ(std::string(url.status().message()).find("hunter2"), std::string::npos);
    }
}

}  // namespace
}  // namespace millrace::cli
