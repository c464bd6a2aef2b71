#include "control-plane/cli/connector_form.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/seal.h"
#include "base/status.h"
#include "control-plane/cli/connection_url.h"
#include "control-plane/cli/secret_input.h"
#include "millrace/v1/resources.pb.h"

namespace millrace::cli {
namespace {

using v1::OptionDescriptor;

absl::StatusOr<const v1::ConnectorDescriptor*> FindByScheme(const v1::DataPlane& plane,
                                                            const std::string& scheme) {
    std::string known;
    for (const v1::ConnectorDescriptor& descriptor : plane.status().descriptors()) {
        for (const std::string& candidate : descriptor.url_schemes()) {
            if (candidate == scheme) {
                return &descriptor;
            }
            known += (known.empty() ? "" : ", ") + candidate + "://";
        }
    }
    return base::MakeError(absl::StatusCode::kInvalidArgument, "CONNECTOR_UNKNOWN",
                           "no connector of this data plane takes URLs with the scheme '" + scheme + "'",
                           "It takes " + known);
}

absl::StatusOr<const v1::ConnectorDescriptor*> FindByType(const v1::DataPlane& plane,
                                                          const std::string& type) {
    std::string known;
    for (const v1::ConnectorDescriptor& descriptor : plane.status().descriptors()) {
        if (descriptor.type() == type) {
            return &descriptor;
        }
        known += (known.empty() ? "" : ", ") + descriptor.type();
    }
    return base::MakeError(absl::StatusCode::kInvalidArgument, "CONNECTOR_UNKNOWN",
                           "this data plane has no connector of type '" + type + "'", "It has " + known);
}

std::string UrlPartValue(const ConnectionUrl& url, OptionDescriptor::UrlPart part) {
    switch (part) {
        case OptionDescriptor::URL_PART_HOST:
            return url.host;
        case OptionDescriptor::URL_PART_PORT:
            return url.port;
        case OptionDescriptor::URL_PART_USER:
            return url.user;
        case OptionDescriptor::URL_PART_DATABASE:
            return url.path.starts_with('/') ? url.path.substr(1) : url.path;
        case OptionDescriptor::URL_PART_PATH: {
            // A relative file is relative to where the person stands, not to where the worker runs.
            const std::string given = url.host + url.path;
            return given.empty() ? given : std::filesystem::absolute(given).lexically_normal().string();
        }
        default:
            return "";
    }
}

const OptionDescriptor* FindOption(const v1::ConnectorDescriptor& descriptor, const std::string& name) {
    for (const OptionDescriptor& option : descriptor.options()) {
        if (option.name() == name) {
            return &option;
        }
    }
    return nullptr;
}

/// Values by option name; secret ones apart.
struct Collected final {
    std::map<std::string, std::string> options;
    std::map<std::string, base::Secret> secrets;
};

absl::StatusOr<const v1::ConnectorDescriptor*> CollectFromUrl(const ConnectorInput& input,
                                                              const v1::DataPlane& plane,
                                                              Collected& collected) {
    ASSIGN_OR_RETURN(ConnectionUrl url, ParseConnectionUrl(input.url));
    ASSIGN_OR_RETURN(const v1::ConnectorDescriptor* descriptor, FindByScheme(plane, url.scheme));
    const base::Secret& password = input.password.empty() ? url.password : input.password;
    for (const OptionDescriptor& option : descriptor->options()) {
        if (option.url_part() == OptionDescriptor::URL_PART_PASSWORD && !password.empty()) {
            collected.secrets[option.name()] = password;
        } else if (std::string value = UrlPartValue(url, option.url_part()); !value.empty()) {
            collected.options[option.name()] = std::move(value);
        }
    }
    for (auto& [name, value] : url.parameters) {
        const OptionDescriptor* option = FindOption(*descriptor, name);
        if (option != nullptr && option->secret()) {
            collected.secrets[name] = base::Secret(value);
        } else {
            collected.options[name] =
                value;  // an unknown one is refused by the control plane, with the nearest name
        }
    }
    return descriptor;
}

absl::Status SealInto(const std::map<std::string, base::Secret>& references, const v1::DataPlane& plane,
                      const std::string& role, v1::ConnectorSpec& spec) {
    if (references.empty()) {
        return absl::OkStatus();
    }
    nlohmann::json plain = nlohmann::json::object();
    for (const auto& [name, reference] : references) {
        ASSIGN_OR_RETURN(const base::Secret value, ReadSecret(reference, role + " " + name));
        plain[name] = value.Reveal();
    }
    const base::Secret text(plain.dump());
    ASSIGN_OR_RETURN(*spec.mutable_sealed_secrets(), base::Seal(text, plane.status().public_key_pem()));
    spec.set_sealed_to(plane.status().key_fingerprint());
    return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::ConnectorSpec> BuildConnectorSpec(const ConnectorInput& input,
                                                     const v1::DataPlane& plane) {
    Collected collected;
    const v1::ConnectorDescriptor* descriptor = nullptr;
    if (!input.url.empty()) {
        ASSIGN_OR_RETURN(descriptor, CollectFromUrl(input, plane, collected));
    } else {
        ASSIGN_OR_RETURN(descriptor, FindByType(plane, input.type));
    }
    for (const auto& [name, value] : input.options) {
        collected.options[name] = value;
    }
    for (const auto& [name, reference] : input.secrets) {
        collected.secrets[name] = reference;
    }
    v1::ConnectorSpec spec;
    spec.set_type(descriptor->type());
    spec.set_data_plane(plane.metadata().name());
    spec.mutable_options()->insert(collected.options.begin(), collected.options.end());
    RETURN_IF_ERROR(SealInto(collected.secrets, plane, input.role, spec));
    return spec;
}

}  // namespace millrace::cli
