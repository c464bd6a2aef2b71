// CheckOptions: a configuration's options held against a connector's description.
#include <algorithm>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "base/text.h"
#include "connectors/sdk/options.h"

namespace millrace::sdk {
namespace {

struct Problem final {
    std::string reason;
    std::string message;
};

size_t EditDistance(std::string_view a, std::string_view b) {
    std::vector<size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), size_t{0});
    for (size_t i = 0; i < a.size(); ++i) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < b.size(); ++j) {
            const size_t substitute = diagonal + (a[i] == b[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({substitute, row[j] + 1, row[j + 1] + 1});
        }
    }
    return row[b.size()];
}

// "" when nothing is near enough to be a slip of the same word.
std::string NearestName(std::string_view name, const std::vector<OptionSpec>& specs) {
    std::string nearest;
    size_t best = std::max<size_t>(2, name.size() / 3) + 1;
    for (const OptionSpec& spec : specs) {
        if (const size_t distance = EditDistance(name, spec.name); distance < best) {
            best = distance;
            nearest = spec.name;
        }
    }
    return nearest;
}

const OptionSpec* FindSpec(const std::string& name, const std::vector<OptionSpec>& specs) {
    const auto it =
        std::find_if(specs.begin(), specs.end(), [&](const OptionSpec& spec) { return spec.name == name; });
    return it == specs.end() ? nullptr : &*it;
}

// What the value should have been, or "".
std::string Expectation(const OptionSpec& spec, const std::string& value) {
    int64_t integer = 0;
    switch (spec.kind) {
        case OptionSpec::Kind::kString:
            return "";
        case OptionSpec::Kind::kInteger:
            return absl::SimpleAtoi(value, &integer) ? "" : "a whole number";
        case OptionSpec::Kind::kBoolean:
            return value == "true" || value == "false" ? "" : "true or false";
        case OptionSpec::Kind::kDuration:
            return ParseDuration(value).ok() ? "" : "a duration like 250ms, 5s, 2m or 1h";
        case OptionSpec::Kind::kBytes:
            return ParseBytes(value).ok() ? "" : "a size like 512, 64kB or 16MB";
        case OptionSpec::Kind::kChoice:
            return std::find(spec.choices.begin(), spec.choices.end(), value) != spec.choices.end()
                       ? ""
                       : base::Concat("one of ", absl::StrJoin(spec.choices, ", "));
    }
    return "";
}

Problem UnknownOption(const std::string& connector, const std::string& name,
                      const std::vector<OptionSpec>& specs) {
    std::string message = base::Concat("unknown option '", name, "' of connector ", connector);
    if (const std::string nearest = NearestName(name, specs); !nearest.empty()) {
        base::Append(message, "; did you mean '", nearest, "'?");
    } else {
        base::Append(message, "; it takes ",
                     absl::StrJoin(specs, ", ", [](std::string* out, const OptionSpec& spec) {
                         base::Append(*out, spec.name);
                     }));
    }
    return {"OPTION_UNKNOWN", message};
}

void CheckGiven(const std::string& connector, const std::vector<OptionSpec>& specs, const Options& options,
                std::vector<Problem>& problems) {
    for (const auto& [name, value] : options.values) {
        const OptionSpec* spec = FindSpec(name, specs);
        if (spec == nullptr) {
            problems.push_back(UnknownOption(connector, name, specs));
        } else if (spec->secret) {
            problems.push_back(
                {"OPTION_INVALID", base::Concat("option '", name, "' of connector ", connector,
                                                " is a secret and was given in clear; seal it")});
        } else if (const std::string expected = Expectation(*spec, value);
                   !expected.empty() && !value.empty()) {
            problems.push_back({"OPTION_INVALID", base::Concat("option '", name, "' of connector ", connector,
                                                               " must be ", expected)});
        }
    }
    for (const auto& [name, secret] : options.secrets) {
        const OptionSpec* spec = FindSpec(name, specs);
        if (spec == nullptr) {
            problems.push_back(UnknownOption(connector, name, specs));
        } else if (!spec->secret) {
            problems.push_back({"OPTION_INVALID", base::Concat("option '", name, "' of connector ", connector,
                                                               " is no secret; give it in clear")});
        }
    }
}

void FillDefaults(const std::string& connector, const std::vector<OptionSpec>& specs, Options& options,
                  std::vector<Problem>& problems) {
    for (const OptionSpec& spec : specs) {
        const bool given =
            spec.secret ? !options.GetSecret(spec.name).empty() : !options.String(spec.name).empty();
        if (given) {
            continue;
        }
        if (!spec.secret && !spec.default_value.empty()) {
            options.values[spec.name] = spec.default_value;
        } else if (spec.required && !(spec.secret && options.values.contains(spec.name))) {
            problems.push_back({"OPTION_MISSING", base::Concat("option '", spec.name, "' of connector ",
                                                               connector, " is required and missing")});
        }
    }
}

}  // namespace

absl::Status CheckOptions(const std::string& connector, const std::vector<OptionSpec>& specs,
                          Options& options) {
    std::vector<Problem> problems;
    CheckGiven(connector, specs, options, problems);
    FillDefaults(connector, specs, options, problems);
    if (problems.empty()) {
        return absl::OkStatus();
    }
    const std::string message = absl::StrJoin(problems, "; ", [](std::string* out, const Problem& problem) {
        base::Append(*out, problem.message);
    });
    return base::MakeError(absl::StatusCode::kInvalidArgument, problems.front().reason, message,
                           "Correct the options and try again.");
}

}  // namespace millrace::sdk
