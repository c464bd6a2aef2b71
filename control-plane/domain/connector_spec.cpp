#include "control-plane/domain/connector_spec.h"

#include <algorithm>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "control-plane/domain/nearest_name.h"

namespace millrace::domain {
namespace {

constexpr size_t kMaxSealedBytes = 64 * 1024;
constexpr size_t kMaxOptionBytes = 8 * 1024;

struct Problem {
    std::string reason;
    std::string message;
    std::string remedy;
};
using Problems = std::vector<Problem>;

bool IsNumberWithUnit(const std::string& text, const std::vector<std::string>& units) {
    const size_t digits = text.find_first_not_of("0123456789");
    int64_t number = 0;
    if (digits == 0 || !absl::SimpleAtoi(text.substr(0, digits), &number)) {
        return false;
    }
    const std::string unit = digits == std::string::npos ? "" : text.substr(digits);
    return std::find(units.begin(), units.end(), unit) != units.end();
}

/// What a value should look like; "" when it does.
std::string Mismatch(const v1::OptionDescriptor& option, const std::string& value) {
    int64_t integer = 0;
    switch (option.kind()) {
        case v1::OptionDescriptor::KIND_INTEGER:
            return absl::SimpleAtoi(value, &integer) ? "" : "a whole number";
        case v1::OptionDescriptor::KIND_BOOLEAN:
            return value == "true" || value == "false" ? "" : "true or false";
        case v1::OptionDescriptor::KIND_DURATION:
            return IsNumberWithUnit(value, {"ms", "s", "m", "h"}) ? ""
                                                                  : "a duration such as 250ms, 5s, 2m or 1h";
        case v1::OptionDescriptor::KIND_BYTES:
            return IsNumberWithUnit(value, {"", "B", "kB", "MB", "GB"})
                       ? ""
                       : "a size such as 512, 64kB, 16MB or 1GB";
        case v1::OptionDescriptor::KIND_CHOICE:
            return std::find(option.choices().begin(), option.choices().end(), value) !=
                           option.choices().end()
                       ? ""
                       : absl::StrCat("one of ", absl::StrJoin(option.choices(), ", "));
        default:
            return "";
    }
}

const v1::OptionDescriptor* FindOption(const v1::ConnectorDescriptor& descriptor, const std::string& name) {
    const auto found = std::find_if(descriptor.options().begin(), descriptor.options().end(),
                                    [&](const auto& option) { return option.name() == name; });
    return found == descriptor.options().end() ? nullptr : &*found;
}

void CheckGivenOption(const v1::ConnectorDescriptor& descriptor, const std::string& name,
                      const std::string& value, Problems& problems) {
    const v1::OptionDescriptor* option = FindOption(descriptor, name);
    if (option == nullptr) {
        std::vector<std::string> known;
        for (const auto& candidate : descriptor.options()) {
            known.push_back(candidate.name());
        }
        const std::string nearest = NearestName(name, known);
        const std::string shown = name.size() > 60 ? absl::StrCat(name.substr(0, 60), "…") : name;
        problems.push_back(
            {"OPTION_UNKNOWN",
             absl::StrCat("Connector type ", descriptor.type(), " has no option \"", shown, "\"."),
             nearest.empty() ? absl::StrCat("It takes: ", absl::StrJoin(known, ", "), ".")
                             : absl::StrCat("Did you mean \"", nearest, "\"?")});
        return;
    }
    if (option->secret()) {
        problems.push_back(
            {"SECRET_IN_CLEAR", absl::StrCat("Option \"", name, "\" is a secret and was given in clear."),
             "Seal it to the data plane's public key and send it in sealed_secrets; the command line "
             "does so by itself."});
        return;
    }
    const std::string expected = value.size() > kMaxOptionBytes
                                     ? absl::StrCat("at most ", kMaxOptionBytes, " bytes")
                                     : Mismatch(*option, value);
    if (!expected.empty()) {
        problems.push_back({"OPTION_INVALID",
                            absl::StrCat("The value of option \"", name, "\" cannot be read."),
                            absl::StrCat("Give ", expected, ".")});
    }
}

void CheckMissing(const v1::ConnectorDescriptor& descriptor, const v1::ConnectorSpec& spec,
                  Problems& problems) {
    for (const v1::OptionDescriptor& option : descriptor.options()) {
        if (!option.required() || !option.default_value().empty()) {
            continue;
        }
        const auto given = spec.options().find(option.name());
        if (option.secret()) {
            // A secret in clear has been told already.
            if (spec.sealed_secrets().empty() && given == spec.options().end()) {
                problems.push_back({"SECRETS_NOT_SEALED",
                                    absl::StrCat("The secret \"", option.name(), "\" is missing."),
                                    "Seal it to the data plane's public key and send it in sealed_secrets."});
            }
        } else if (given == spec.options().end() || given->second.empty()) {
            problems.push_back({"OPTION_MISSING", absl::StrCat("Option \"", option.name(), "\" is missing."),
                                absl::StrCat("Give it: ", option.documentation())});
        }
    }
}

absl::Status CheckSealed(const v1::ConnectorSpec& spec, const v1::DataPlane& plane) {
    if (spec.sealed_secrets().empty()) {
        return absl::OkStatus();
    }
    if (!spec.sealed_secrets().starts_with("-----BEGIN CMS-----") ||
        spec.sealed_secrets().size() > kMaxSealedBytes) {
        return base::MakeError(
            absl::StatusCode::kInvalidArgument, "SEALED_SECRETS_INVALID",
            "sealed_secrets is not a CMS message in PEM form of at most 64 KiB.",
            "Seal a JSON object {option: value} as AuthEnvelopedData to the data plane's public key.");
    }
    if (spec.sealed_to() != plane.status().key_fingerprint()) {
        return base::MakeError(
            absl::StatusCode::kFailedPrecondition, "SEALED_TO_OTHER_KEY",
            absl::StrCat("The secrets are sealed to another key than that of ", plane.metadata().name(), " (",
                         plane.status().key_fingerprint(), ")."),
            "Seal them again to the data plane's current public key.");
    }
    return absl::OkStatus();
}

absl::Status UnknownType(const v1::ConnectorSpec& spec, const Descriptors& descriptors) {
    std::vector<std::string> types;
    for (const auto& descriptor : descriptors) {
        types.push_back(descriptor.type());
    }
    const std::string shown =
        spec.type().size() > 60 ? absl::StrCat(spec.type().substr(0, 60), "…") : spec.type();
    return base::MakeError(
        absl::StatusCode::kInvalidArgument, "CONNECTOR_TYPE_UNKNOWN",
        absl::StrCat("There is no connector type \"", shown, "\" on ", spec.data_plane(), "."),
        absl::StrCat("Known types: ", absl::StrJoin(types, ", "), "."));
}

}  // namespace

const v1::ConnectorDescriptor* FindDescriptor(const Descriptors& descriptors, const std::string& type) {
    const auto found = std::find_if(descriptors.begin(), descriptors.end(),
                                    [&](const auto& descriptor) { return descriptor.type() == type; });
    return found == descriptors.end() ? nullptr : &*found;
}

absl::Status CheckConnectorSpec(const v1::ConnectorSpec& spec, const v1::DataPlane& plane) {
    const Descriptors& descriptors = plane.status().descriptors();
    if (descriptors.empty()) {
        return base::MakeError(absl::StatusCode::kFailedPrecondition, "PLANE_NEVER_CONNECTED",
                               absl::StrCat("No worker of ", plane.metadata().name(),
                                            " has ever connected, so that its "
                                            "connectors are not known."),
                               "Start millrace-worker for this data plane and try again.");
    }
    const v1::ConnectorDescriptor* descriptor = FindDescriptor(descriptors, spec.type());
    if (descriptor == nullptr) {
        return UnknownType(spec, descriptors);
    }
    Problems problems;
    for (const auto& [name, value] : spec.options()) {
        CheckGivenOption(*descriptor, name, value, problems);
    }
    // The map has no order; errors should be the same at every try.
    std::sort(problems.begin(), problems.end(),
              [](const Problem& a, const Problem& b) { return a.message < b.message; });
    CheckMissing(*descriptor, spec, problems);
    if (problems.empty()) {
        return CheckSealed(spec, plane);
    }
    const auto join = [&](std::string Problem::*part) {
        return absl::StrJoin(problems, " ", [&](std::string* out, const Problem& problem) {
            absl::StrAppend(out, problem.*part);
        });
    };
    return base::MakeError(absl::StatusCode::kInvalidArgument, problems.front().reason,
                           join(&Problem::message), join(&Problem::remedy));
}

}  // namespace millrace::domain
