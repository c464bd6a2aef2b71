#include "connectors/sdk/options.h"

#include <gtest/gtest.h>

#include "base/status.h"

namespace millrace::sdk {
namespace {

using Kind = OptionSpec::Kind;

std::vector<OptionSpec> Specs() {
    return {
        {.name = "host", .kind = Kind::kString, .required = true},
        {.name = "port", .kind = Kind::kInteger, .default_value = "5432"},
        {.name = "password", .kind = Kind::kString, .secret = true},
        {.name = "adopt", .kind = Kind::kBoolean, .default_value = "false"},
        {.name = "heartbeat", .kind = Kind::kDuration, .default_value = "10s"},
        {.name = "buffer", .kind = Kind::kBytes, .default_value = "16MB"},
        {.name = "sslmode",
         .kind = Kind::kChoice,
         .default_value = "prefer",
         .choices = {"prefer", "require"}},
    };
}

Options Given(std::map<std::string, std::string> values) {
    Options options;
    options.values = std::move(values);
    return options;
}

absl::Status Check(Options options) {
    return CheckOptions("postgres", Specs(), options);
}

TEST(CheckOptions, FillsDefaultsIn) {
    Options options = Given({{"host", "db"}});
    options.secrets["password"] = base::Secret(std::string("pw"));
    ASSERT_TRUE(CheckOptions("postgres", Specs(), options).ok());
    EXPECT_EQ(options.String("host"), "db");
    EXPECT_EQ(options.Integer("port"), 5432);
    EXPECT_FALSE(options.Boolean("adopt"));
    EXPECT_EQ(options.Duration("heartbeat"), std::chrono::seconds(10));
    EXPECT_EQ(options.Bytes("buffer"), base::ByteCount::MiB(16));
    EXPECT_EQ(options.String("sslmode"), "prefer");
    EXPECT_EQ(options.GetSecret("password").Reveal(), "pw");
    EXPECT_TRUE(options.GetSecret("absent").empty());
}

TEST(CheckOptions, GivenValuesStand) {
    Options options = Given({{"host", "db"}, {"port", "6000"}, {"adopt", "true"}, {"sslmode", "require"}});
    ASSERT_TRUE(CheckOptions("postgres", Specs(), options).ok());
    EXPECT_EQ(options.Integer("port"), 6000);
    EXPECT_TRUE(options.Boolean("adopt"));
    EXPECT_EQ(options.String("sslmode"), "require");
}

TEST(CheckOptions, UnknownOptionSuggestsTheNearestName) {
    const absl::Status status = Check(Given({{"host", "db"}, {"pasword", "x"}}));
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(base::ReasonOf(status), "OPTION_UNKNOWN");
    EXPECT_EQ(status.message(), "unknown option 'pasword' of connector postgres; did you mean 'password'?");
}

TEST(CheckOptions, UnknownOptionFarFromEveryNameListsThem) {
    const absl::Status status = Check(Given({{"host", "db"}, {"completely_else", "x"}}));
    EXPECT_EQ(status.message(),
              "unknown option 'completely_else' of connector postgres; it takes host, port, password, adopt, "
              "heartbeat, "
              "buffer, sslmode");
}

TEST(CheckOptions, SealedUnknownOptionIsReportedToo) {
    Options options = Given({{"host", "db"}});
    options.secrets["pasword"] = base::Secret(std::string("pw"));
    EXPECT_EQ(base::ReasonOf(Check(options)), "OPTION_UNKNOWN");
}

TEST(CheckOptions, MissingRequiredOptionIsNamed) {
    for (const Options& options : {Given({}), Given({{"host", ""}})}) {
        const absl::Status status = Check(options);
        EXPECT_EQ(base::ReasonOf(status), "OPTION_MISSING");
        EXPECT_EQ(status.message(), "option 'host' of connector postgres is required and missing");
    }
}

TEST(CheckOptions, SecretGivenInClearIsRefusedAndNotShown) {
    const absl::Status status = Check(Given({{"host", "db"}, {"password", "hunter2"}}));
    EXPECT_EQ(base::ReasonOf(status), "OPTION_INVALID");
    EXPECT_EQ(status.message(),
              "option 'password' of connector postgres is a secret and was given in clear; seal it");
}

TEST(CheckOptions, ClearOptionGivenAsSecretIsRefused) {
    Options options = Given({{"host", "db"}});
    options.secrets["sslmode"] = base::Secret(std::string("require"));
    EXPECT_EQ(Check(options).message(),
              "option 'sslmode' of connector postgres is no secret; give it in clear");
}

TEST(CheckOptions, ValuesThatDoNotParseSayWhatIsExpected) {
    const std::pair<const char*, const char*> kCases[] = {
        {"port", "a whole number"},
        {"adopt", "true or false"},
        {"heartbeat", "a duration like 250ms, 5s, 2m or 1h"},
        {"buffer", "a size like 512, 64kB or 16MB"},
        {"sslmode", "one of prefer, require"},
    };
    for (const auto& [name, expected] : kCases) {
        const absl::Status status = Check(Given({{"host", "db"}, {name, "?planted?"}}));
        EXPECT_EQ(base::ReasonOf(status), "OPTION_INVALID");
        EXPECT_EQ(status.message(),
                  std::string("option '") + name + "' of connector postgres must be " + expected);
    }
}

TEST(CheckOptions, AllProblemsComeInOneMessage) {
    const absl::Status status = Check(Given({{"hots", "db"}, {"port", "x"}, {"password", "y"}}));
    const std::string text(status.message());
    EXPECT_NE(text.find("did you mean 'host'?"), std::string::npos) << text;
    EXPECT_NE(text.find("'port' of connector postgres must be"), std::string::npos) << text;
    EXPECT_NE(text.find("'password' of connector postgres is a secret"), std::string::npos) << text;
    EXPECT_NE(text.find("'host' of connector postgres is required"), std::string::npos) << text;
}

TEST(ParseDuration, TakesWholeNumbersWithUnits) {
    EXPECT_EQ(*ParseDuration("250ms"), std::chrono::milliseconds(250));
    EXPECT_EQ(*ParseDuration("5s"), std::chrono::seconds(5));
    EXPECT_EQ(*ParseDuration("2m"), std::chrono::minutes(2));
    EXPECT_EQ(*ParseDuration("1h"), std::chrono::hours(1));
    EXPECT_EQ(*ParseDuration("0"), std::chrono::milliseconds(0));
    for (const char* bad : {"", "5", "s", "-5s", "+5s", "5 s", "1.5s", "5d", "5ss", "9223372036854775807h",
                            "99999999999999999999s"}) {
        EXPECT_FALSE(ParseDuration(bad).ok()) << bad;
    }
}

TEST(ParseBytes, TakesWholeNumbersWithUnits) {
    EXPECT_EQ(ParseBytes("512")->value(), 512);
    EXPECT_EQ(ParseBytes("7B")->value(), 7);
    EXPECT_EQ(ParseBytes("64kB")->value(), 64 * 1024);
    EXPECT_EQ(ParseBytes("64KB")->value(), 64 * 1024);
    EXPECT_EQ(*ParseBytes("16MB"), base::ByteCount::MiB(16));
    EXPECT_EQ(*ParseBytes("1GB"), base::ByteCount::MiB(1024));
    for (const char* bad : {"", "kB", "-1", "1.5GB", "16 MB", "1XB", "9223372036854775807kB"}) {
        EXPECT_FALSE(ParseBytes(bad).ok()) << bad;
    }
}

}  // namespace
}  // namespace millrace::sdk
