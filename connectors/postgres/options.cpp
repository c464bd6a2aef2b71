#include "connectors/postgres/options.h"

namespace millrace::postgres {

std::vector<sdk::OptionSpec> ConnectionOptions() {
    using Kind = sdk::OptionSpec::Kind;
    using UrlPart = sdk::OptionSpec::UrlPart;
    return {
        {.name = "host",
         .required = true,
         .documentation =
             "Host name or address of the server, or the directory of its Unix socket. Not a connection "
             "pooler: replication needs the server itself.",
         .url_part = UrlPart::kHost},
        {.name = "port",
         .kind = Kind::kInteger,
         .default_value = "5432",
         .documentation = "TCP port of the server.",
         .url_part = UrlPart::kPort},
        {.name = "database",
         .required = true,
         .documentation = "Name of the database.",
         .url_part = UrlPart::kDatabase},
        {.name = "user",
         .required = true,
         .documentation = "Role to connect as.",
         .url_part = UrlPart::kUser},
        {.name = "password",
         .secret = true,
         .documentation = "Password of the role; absent where the server asks for none.",
         .url_part = UrlPart::kPassword},
        {.name = "sslmode",
         .kind = Kind::kChoice,
         .default_value = "prefer",
         .documentation =
             "How the connection is encrypted and whether the server's certificate is checked, in libpq's "
             "words.",
         .choices = {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}},
        {.name = "sslrootcert",
         .documentation =
             "File, on the data plane, with the authorities that may sign the server's certificate."},
        {.name = "sslcert", .documentation = "File, on the data plane, with our client certificate."},
        {.name = "sslkey",
         .documentation = "File, on the data plane, with the key of the client certificate."},
        {.name = "connect_timeout",
         .kind = Kind::kInteger,
         .default_value = "10",
         .documentation = "Seconds to wait for a connection."},
    };
}

std::vector<sdk::OptionSpec> SourceOptions() {
    return {{.name = "replica_host",
             .documentation = "As a source: a streaming replica of the server, from which rows that existed before are read in "
                              "chunks, with the same role and database. Changes come from the server itself."},
            {.name = "replica_port", .kind = sdk::OptionSpec::Kind::kInteger, .documentation = "TCP port of the replica; that of the server when left out."}};
}

base::PqParameters ConnectionParameters(const sdk::Options& options) {
    base::PqParameters parameters;
    const auto pass = [&](const char* option, const char* keyword) {
        if (std::string value = options.String(option); !value.empty()) {
            parameters.keywords[keyword] = std::move(value);
        }
    };
    pass("host", "host");
    pass("port", "port");
    pass("database", "dbname");
    pass("user", "user");
    pass("sslmode", "sslmode");
    pass("sslrootcert", "sslrootcert");
    pass("sslcert", "sslcert");
    pass("sslkey", "sslkey");
    pass("connect_timeout", "connect_timeout");
    parameters.password = options.GetSecret("password");
    return parameters;
}

}  // namespace millrace::postgres
