// Small texts that people and servers write: durations, sizes, options, log positions, type names, topics.
#include <string>

#include "connectors/postgres/lsn.h"
#include "connectors/postgres/type_name.h"
#include "connectors/sdk/options.h"
#include "data-plane/config/topic_name.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using namespace millrace;

void CheckOptions(fuzz::Input& input) {
    using Kind = sdk::OptionSpec::Kind;
    static const std::vector<sdk::OptionSpec> kSpecs = {
        {.name = "s", .kind = Kind::kString, .required = true},
        {.name = "i", .kind = Kind::kInteger, .default_value = "7"},
        {.name = "b", .kind = Kind::kBoolean},
        {.name = "d", .kind = Kind::kDuration, .default_value = "5s"},
        {.name = "z", .kind = Kind::kBytes},
        {.name = "c", .kind = Kind::kChoice, .choices = {"one", "two"}},
        {.name = "p", .secret = true},
    };
    sdk::Options options;
    while (!input.rest().empty()) {
        const std::string name(input.Take(1));
        options.values[name] = std::string(input.Piece());
    }
    if (sdk::CheckOptions("toy", kSpecs, options).ok()) {
        fuzz::Require(options.Duration("d").count() >= 0 && options.Bytes("z").value() >= 0,
                      "checked options can be read");
        (void)options.Integer("i");
    }
}

void CheckTopic(fuzz::Input& input) {
    const std::string schema(input.Piece());
    const std::string table(input.rest());
    const std::string topic = config::TableTopic("millrace", "shop", schema, table);
    fuzz::Require(topic.size() <= 249, "a topic's name is not too long for Kafka");
    if (const auto name = config::TableOfTopic("millrace", "shop", topic)) {
        fuzz::Require(name->schema == schema && name->table == table, "a topic's name gives its table");
    }
    (void)config::TableOfTopic("millrace", "shop", "millrace.shop." + table);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    fuzz::Input input(data, size);
    const uint8_t kind = input.Byte();
    const std::string text(input.rest());
    switch (kind % 6) {
        case 0: {
            const auto duration = sdk::ParseDuration(text);
            fuzz::Require(!duration.ok() || duration->count() >= 0, "a duration is not negative");
            break;
        }
        case 1: {
            const auto bytes = sdk::ParseBytes(text);
            fuzz::Require(!bytes.ok() || bytes->value() >= 0, "a size is not negative");
            break;
        }
        case 2:
            CheckOptions(input);
            break;
        case 3:
            if (const auto lsn = postgres::ParseLsn(text)) {
                fuzz::Require(postgres::ParseLsn(postgres::FormatLsn(*lsn)) == lsn,
                              "a log position is the same after writing and reading");
            }
            break;
        case 4: {
            const auto type = postgres::TypeName::Parse(text);
            (void)postgres::TypeName::Parse(type.ToString());
            (void)postgres::IsPortable(type);
            (void)postgres::IsServerBound(type);
            (void)postgres::Fit(type, postgres::TypeName::Parse("numeric(10,2)"));
            break;
        }
        default:
            CheckTopic(input);
    }
    return 0;
}
