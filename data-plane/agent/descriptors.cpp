#include "data-plane/agent/descriptors.h"

#include <google/protobuf/util/json_util.h>

#include "millrace/v1/resources.pb.h"

namespace millrace::agent {

void DescribeConnector(const sdk::Connector& connector, v1::ConnectorDescriptor* descriptor) {
    descriptor->set_type(connector.type);
    descriptor->set_display_name(connector.display_name);
    descriptor->set_documentation(connector.documentation);
    descriptor->set_is_source(static_cast<bool>(connector.make_source));
    descriptor->set_is_destination(static_cast<bool>(connector.make_destination));
    for (const std::string& scheme : connector.url_schemes) {
        descriptor->add_url_schemes(scheme);
    }
    for (const sdk::OptionSpec& option : connector.options) {
        v1::OptionDescriptor& out = *descriptor->add_options();
        out.set_name(option.name);
        out.set_kind(static_cast<v1::OptionDescriptor::Kind>(option.kind));
        out.set_required(option.required);
        out.set_secret(option.secret);
        out.set_default_value(option.default_value);
        out.set_documentation(option.documentation);
        out.set_url_part(static_cast<v1::OptionDescriptor::UrlPart>(option.url_part));
        for (const std::string& choice : option.choices) {
            out.add_choices(choice);
        }
    }
}

std::string DescribeConnectorsAsJson(const sdk::ConnectorRegistry& registry) {
    google::protobuf::util::JsonPrintOptions print;
    print.add_whitespace = true;
    std::string json = "{\"connectors\": [\n";
    bool first = true;
    for (const sdk::Connector* connector : registry.All()) {
        v1::ConnectorDescriptor descriptor;
        DescribeConnector(*connector, &descriptor);
        std::string one;
        // Fails only for Any fields of unknown type; a descriptor has none.
        if (!google::protobuf::util::MessageToJsonString(descriptor, &one, print).ok()) {
            continue;
        }
        json += (first ? "" : ",\n") + one;
        first = false;
    }
    return json + "]}\n";
}

}  // namespace millrace::agent
