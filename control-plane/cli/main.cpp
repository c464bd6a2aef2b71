#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>

#include "base/status.h"
#include "control-plane/cli/commands.h"
#include "control-plane/cli/render.h"

namespace millrace::cli {
namespace {

using Action = std::function<absl::Status(Client&, const Scope&)>;

/// Everything that flags are read into; lives as long as main.
struct Arguments final {
    std::string endpoint;
    std::string tls_ca;
    Scope scope;
    ReplicateArguments replicate;
    std::string source_password;
    std::string destination_password;
    ApplyArguments apply;
    std::string id;
    std::string output = "text";
    ConnectorInput connector{.role = "connector"};
    std::string connector_password;
    std::vector<std::string> option_pairs;
    std::vector<std::string> secret_pairs;
    PipelineInput pipeline;
    std::vector<std::string> key_pairs;
    bool watch = false;
    bool force = false;
    bool no_wait = false;
    bool confirm = false;
    bool check_only = false;
    bool follow = false;
    std::string table;
    std::string offsets;
    std::string columns;
    BackfillChoice choice;
    std::string goal = "caught-up";
    std::string timeout = "5m";
    std::string replicate_timeout = "1h";
};

constexpr char kSecretForms[] = "env:NAME, file:PATH or prompt";

std::string CheckDuration(const std::string& text) {
    const size_t unit = text.find_first_not_of("0123456789");
    const bool good = unit != 0 && !text.empty() &&
                      (unit == std::string::npos || text.substr(unit) == "s" || text.substr(unit) == "m" ||
                       text.substr(unit) == "h");
    return good ? "" : "'" + text + "' is not a duration such as 30s, 5m or 1h";
}

std::chrono::seconds ToSeconds(const std::string& text) {
    const int64_t number = std::stoll(text);
    switch (text.back()) {
        case 'm':
            return std::chrono::minutes(number);
        case 'h':
            return std::chrono::hours(number);
        default:
            return std::chrono::seconds(number);
    }
}

absl::Status SplitPair(const std::string& pair, std::string& name, std::string& value) {
    const size_t equals = pair.find('=');
    if (equals == std::string::npos || equals == 0) {
        return base::MakeError(absl::StatusCode::kInvalidArgument, "FLAG_INVALID",
                               "'" + pair.substr(0, equals) + "' is not of the form name=value");
    }
    name = pair.substr(0, equals);
    value = pair.substr(equals + 1);
    return absl::OkStatus();
}

absl::Status FillKeys(const std::vector<std::string>& pairs, std::map<std::string, std::string>& keys) {
    std::string table;
    std::string index;
    for (const std::string& pair : pairs) {
        RETURN_IF_ERROR(SplitPair(pair, table, index));
        keys[table] = index;
    }
    return absl::OkStatus();
}

void AddKeys(CLI::App* command, Arguments& a) {
    command->add_option("--key", a.key_pairs,
                        "SCHEMA.TABLE=INDEX: its key is that unique index; may be repeated");
}

void AddCodec(CLI::App* command, std::string& codec) {
    command->add_option("--codec", codec, "Form of the records in Kafka: native or debezium-json")
        ->check(CLI::IsMember({"native", "debezium-json"}))
        ->capture_default_str();
}

absl::Status FillConnector(Arguments& a) {
    std::string name;
    std::string value;
    for (const std::string& pair : a.option_pairs) {
        RETURN_IF_ERROR(SplitPair(pair, name, value));
        a.connector.options[name] = value;
    }
    for (const std::string& pair : a.secret_pairs) {
        RETURN_IF_ERROR(SplitPair(pair, name, value));
        a.connector.secrets[name] = base::Secret(value);
    }
    a.connector.password = base::Secret(a.connector_password);
    return absl::OkStatus();
}

void AddOutput(CLI::App* command, Arguments& a) {
    command->add_option("-o,--output", a.output, "text or json")->check(CLI::IsMember({"text", "json"}));
}

void AddReplicate(CLI::App& app, Arguments& a, Action& action) {
    CLI::App* c = app.add_subcommand(
        "replicate", "Connect a source and a destination, check both, deploy, and follow until caught up");
    c->add_option("--source", a.replicate.source.url, "Source URL, e.g. postgres://user@host:5432/db")
        ->required();
    c->add_option("--source-password", a.source_password, std::string("Its password: ") + kSecretForms);
    c->add_option("--destination", a.replicate.destination.url,
                  "Destination URL, e.g. duckdb:///path/to/file.duckdb or postgres://user@host/db")
        ->required();
    c->add_option("--destination-password", a.destination_password,
                  std::string("Its password: ") + kSecretForms);
    c->add_option("--tables", a.replicate.tables, "Globs over schema.table; default '*.*', every table")
        ->delimiter(',');
    c->add_option("--exclude", a.replicate.exclude, "Globs of tables to leave out")->delimiter(',');
    AddKeys(c, a);
    AddCodec(c, a.replicate.codec);
    c->add_option("--name", a.replicate.name, "Name of the pipeline; default: the source database's");
    c->add_option("--timeout", a.replicate_timeout, "How long to follow it, e.g. 30m; the pipeline goes on")
        ->check(CheckDuration);
    c->add_flag("--no-wait", a.replicate.no_wait, "Return once it is deployed");
    c->callback([&a, &action] {
        action = [&a](Client& client, const Scope& scope) {
            RETURN_IF_ERROR(FillKeys(a.key_pairs, a.replicate.keys));
            a.replicate.timeout = ToSeconds(a.replicate_timeout);
            a.replicate.source.password = base::Secret(a.source_password);
            a.replicate.destination.password = base::Secret(a.destination_password);
            if (a.replicate.tables.empty()) {
                a.replicate.tables = {"*.*"};
            }
            return Replicate(client, scope, a.replicate);
        };
    });
}

void AddApply(CLI::App& app, Arguments& a, Action& action) {
    CLI::App* c = app.add_subcommand("apply", "Make a pipeline what a YAML file says; prints the difference");
    c->add_option("-f,--file", a.apply.file, "The file")->required();
    c->add_flag("--dry-run", a.apply.dry_run, "Only print the difference");
    c->add_flag("--update-secrets", a.apply.update_secrets,
                "Seal the file's secrets anew although nothing else of the connector changed");
    c->callback([&a, &action] {
        action = [&a](Client& client, const Scope& scope) { return Apply(client, scope, a.apply); };
    });
}

CLI::App* AddNamed(CLI::App* parent, const char* verb, const char* help, Arguments& a, Action& action,
                   absl::Status (*run)(Client&, const Scope&, const std::string&)) {
    CLI::App* c = parent->add_subcommand(verb, help);
    c->add_option("NAME", a.id, "Its name")->required();
    if (run != nullptr) {
        c->callback([&a, &action, run] {
            action = [&a, run](Client& client, const Scope& scope) { return run(client, scope, a.id); };
        });
    }
    return c;
}

void AddConnector(CLI::App& app, Arguments& a, Action& action) {
    CLI::App* group = app.add_subcommand("connector", "Sources and destinations")->require_subcommand(1);
    CLI::App* create =
        AddNamed(group, "create", "Store a connector; its secrets are sealed before they leave this command",
                 a, action, nullptr);
    create->add_option("--url", a.connector.url, "Connection URL");
    create->add_option("--type", a.connector.type, "Connector type, instead of a URL");
    create->add_option("--option", a.option_pairs, "name=value; repeat it");
    create->add_option("--secret", a.secret_pairs, std::string("name=") + kSecretForms + "; repeat it");
    create->add_option("--password", a.connector_password,
                       std::string("The URL's password: ") + kSecretForms);
    create->callback([&a, &action] {
        if (a.connector.url.empty() == a.connector.type.empty()) {
            throw CLI::ValidationError("give either --url or --type");
        }
        action = [&a](Client& client, const Scope& scope) {
            RETURN_IF_ERROR(FillConnector(a));
            return CreateConnector(client, scope, a.id, a.connector);
        };
    });
    CLI::App* list = group->add_subcommand("list", "All connectors");
    AddOutput(list, a);
    list->callback([&a, &action] {
        action = [&a](Client& client, const Scope& scope) { return ListConnectors(client, scope, a.output); };
    });
    AddNamed(group, "describe", "One connector as JSON", a, action, &DescribeConnector);
    AddNamed(group, "delete", "Delete a connector that no pipeline uses", a, action, &DeleteConnector);
}

void AddPipeline(CLI::App& app, Arguments& a, Action& action) {
    CLI::App* group = app.add_subcommand("pipeline", "Pipelines")->require_subcommand(1);
    CLI::App* create = AddNamed(group, "create", "Store a pipeline as a draft", a, action, nullptr);
    create->add_option("--source", a.pipeline.source, "Name of the source connector")->required();
    create->add_option("--destination", a.pipeline.destination, "Name of the destination connector")
        ->required();
    create->add_option("--tables", a.pipeline.tables, "Globs over schema.table; default '*.*'")
        ->delimiter(',');
    create->add_option("--exclude", a.pipeline.exclude, "Globs of tables to leave out")->delimiter(',');
    AddKeys(create, a);
    AddCodec(create, a.pipeline.codec);
    create->callback([&a, &action] {
        action = [&a](Client& client, const Scope& scope) {
            if (a.pipeline.tables.empty()) {
                a.pipeline.tables = {"*.*"};
            }
            RETURN_IF_ERROR(FillKeys(a.key_pairs, a.pipeline.keys));
            return CreatePipeline(client, scope, a.id, a.pipeline);
        };
    });
    CLI::App* list = group->add_subcommand("list", "All pipelines");
    AddOutput(list, a);
    list->callback([&a, &action] {
        action = [&a](Client& client, const Scope& scope) { return ListPipelines(client, scope, a.output); };
    });
    AddNamed(group, "describe", "One pipeline as JSON", a, action, &DescribePipeline);
    CLI::App* deploy =
        AddNamed(group, "deploy", "Run every check and start the pipeline", a, action, nullptr);
    deploy->add_flag("--check-only", a.check_only, "Only run the checks");
    deploy->callback([&a, &action] {
        action = [&a](Client& client, const Scope& scope) {
            return DeployPipeline(client, scope, a.id, a.check_only);
        };
    });
    AddNamed(group, "pause", "Stop applying; changes go on into Kafka", a, action, &PausePipeline);
    AddNamed(group, "resume", "Go on applying", a, action, &ResumePipeline);
    CLI::App* resync = AddNamed(group, "resync",
                                "Make a new replication slot and copy every table anew (after a lost slot, a "
                                "restored or another source)",
                                a, action, nullptr);
    resync->add_flag("--confirm", a.confirm, "Do it; without this the command only tells what would happen");
    resync->callback([&a, &action] {
        action = [&a](Client& client, const Scope& scope) {
            return ResyncPipeline(client, scope, a.id, a.confirm);
        };
    });
    CLI::App* remove =
        AddNamed(group, "delete", "Remove a pipeline with its slot, publications, topics and checkpoints", a,
                 action, nullptr);
    remove->add_flag(
        "--force", a.force,
        "Forget it at once, although the data plane may leave slot, publications and topics behind");
    remove->add_flag("--no-wait", a.no_wait, "Do not wait for the data plane");
    remove->callback([&a, &action] {
        action = [&a](Client& client, const Scope& scope) {
            return DeletePipeline(client, scope, a.id, a.force, a.no_wait);
        };
    });
}

void AddTable(CLI::App& app, Arguments& a, Action& action) {
    CLI::App* group = app.add_subcommand("table", "Single tables of a pipeline")->require_subcommand(1);
    CLI::App* list = group->add_subcommand("list", "State of each table, and what it is held at");
    list->add_option("PIPELINE", a.id, "The pipeline")->required();
    AddOutput(list, a);
    list->callback([&a, &action] {
        action = [&a](Client& client, const Scope& scope) {
            return ListTables(client, scope, a.id, a.output);
        };
    });
    const auto add = [&](const std::string& verb, const char* help) {
        CLI::App* c = group->add_subcommand(verb, help);
        c->add_option("PIPELINE", a.id, "The pipeline")->required();
        c->add_option("TABLE", a.table, "schema.table")->required();
        return c;
    };
    for (const auto& [verb, help] : std::initializer_list<std::pair<std::string, const char*>>{
             {"pause", "Stop applying one table; the others go on"},
             {"resume", "Go on with a paused table, or try a held one again at once"},
             {"resync", "Copy the table anew"}}) {
        add(verb, help)->callback([&a, &action, verb = verb] {
            action = [&a, verb](Client& client, const Scope& scope) {
                return OrderTable(client, scope, verb, a.id, a.table);
            };
        });
    }
    add("replay-dead-letters", "Apply the table's dead letters again, as far as the destination takes them now")
        ->callback([&a, &action] {
            action = [&a](Client& client, const Scope& scope) {
                return ReplayDeadLetters(client, scope, a.id, a.table);
            };
        });
    CLI::App* skip = add("skip", "Pass over the records that a table is held at; shows them first");
    skip->add_option("--offsets", a.offsets, "FIRST-LAST, the range that was shown: do it");
    skip->callback([&a, &action] {
        action = [&a](Client& client, const Scope& scope) {
            return SkipTable(client, scope, a.id, a.table, a.offsets);
        };
    });
    CLI::App* drop = add("confirm-drop", "Drop columns at the destination that the source has dropped");
    drop->add_option("--columns", a.columns, "NAME,…; default: all whose drop is pending");
    drop->callback([&a, &action] {
        action = [&a](Client& client, const Scope& scope) {
            return ConfirmDrop(client, scope, a.id, a.table, a.columns);
        };
    });
    CLI::App* events = app.add_subcommand("events", "What happened to a pipeline; the last 100 events");
    events->add_option("PIPELINE", a.id, "The pipeline")->required();
    AddOutput(events, a);
    events->add_flag("--follow", a.follow, "Go on showing new ones");
    events->callback([&a, &action] {
        action = [&a](Client& client, const Scope& scope) {
            return ShowEvents(client, scope, a.id, a.output, a.follow);
        };
    });
}

void AddBackfill(CLI::App& app, Arguments& a, Action& action) {
    CLI::App* group = app.add_subcommand("backfill", "The reading of rows that existed before")->require_subcommand(1);
    CLI::App* list = group->add_subcommand("list", "Of which tables rows are read, how far, how fast");
    list->add_option("PIPELINE", a.id, "The pipeline")->required();
    AddOutput(list, a);
    list->add_flag("--watch", a.watch, "Show it again every second");
    list->callback([&a, &action] {
        action = [&a](Client& client, const Scope& scope) {
            return ListBackfills(client, scope, a.id, a.output, a.watch);
        };
    });
    const auto add = [&](const std::string& verb, const char* help) {
        CLI::App* c = group->add_subcommand(verb, help);
        c->add_option("PIPELINE", a.id, "The pipeline")->required();
        c->add_option("TABLE", a.table, "schema.table")->required();
        return c;
    };
    CLI::App* start = add("start", "Read rows again: all, or chosen ones");
    CLI::Option* where = start->add_option("--where", a.choice.where, "Rows that meet this condition in the source's SQL");
    start->add_option("--key", a.choice.keys, "The row under this key, A or A,B,…; may be repeated")->excludes(where)->expected(1)->take_all();
    start->add_option("--priority", a.choice.priority, "Tables with a higher one are read before others; 0 by default");
    start->callback([&a, &action] {
        action = [&a](Client& client, const Scope& scope) {
            return StartBackfill(client, scope, a.id, a.table, a.choice);
        };
    });
    for (const auto& [verb, help] : std::initializer_list<std::pair<std::string, const char*>>{
             {"pause", "Read no more rows for now; changes go on"},
             {"resume", "Go on where it stood"},
             {"cancel", "Read no more rows for good; what was read stays"}}) {
        add(verb, help)->callback([&a, &action, verb = verb] {
            action = [&a, verb](Client& client, const Scope& scope) {
                return OrderBackfill(client, scope, verb, a.id, a.table);
            };
        });
    }
}

void AddStatus(CLI::App& app, Arguments& a, Action& action) {
    CLI::App* status = app.add_subcommand("status", "State, lag and rows per pipeline and table");
    status->add_option("NAME", a.id, "One pipeline; default: all");
    AddOutput(status, a);
    status->add_flag("--watch", a.watch, "Show it again every second");
    status->callback([&a, &action] {
        action = [&a](Client& client, const Scope& scope) {
            return ShowStatus(client, scope, a.id, a.output, a.watch);
        };
    });

    CLI::App* wait = app.add_subcommand("wait", "Wait until a pipeline is caught up, live or paused");
    wait->add_option("NAME", a.id, "The pipeline")->required();
    wait->add_option(
            "--for", a.goal,
            "caught-up: every change committed at the source until now is visible in the destination")
        ->check(CLI::IsMember({"caught-up", "live", "paused"}))
        ->required();
    wait->add_option("--timeout", a.timeout, "E.g. 30s, 5m (default), 1h")->check(CheckDuration);
    wait->callback([&a, &action] {
        action = [&a](Client& client, const Scope& scope) {
            return WaitFor(client, scope, a.id, a.goal, ToSeconds(a.timeout), true);
        };
    });
}

absl::Status RunAction(const Arguments& a, const Action& action) {
    ASSIGN_OR_RETURN(const Credentials credentials, FindCredentials(a.endpoint));
    ASSIGN_OR_RETURN(const auto client, Client::Create(credentials, a.tls_ca));
    return action(*client, a.scope);
}

int Main(int argc, char** argv) {
    Arguments a;
    Action action;
    CLI::App app("Millrace: continuous database replication, exactly once in effect.", "millrace");
    app.set_version_flag("--version", "millrace " MILLRACE_VERSION);
    app.require_subcommand(1);
    app.fallthrough();
    app.add_option(
        "--endpoint", a.endpoint,
        "Control plane HOST:PORT; default MILLRACE_ENDPOINT, then the credentials file under MILLRACE_HOME");
    app.add_option("--tls-ca", a.tls_ca,
                   "PEM file of the authority of the control plane's certificate; plain text without it")
        ->envname("MILLRACE_TLS_CA");
    app.add_option("--tenant", a.scope.tenant, "Tenant (default: default)")->envname("MILLRACE_TENANT");
    app.add_option("--data-plane", a.scope.data_plane, "Data plane (default: default)")
        ->envname("MILLRACE_DATA_PLANE");
    app.footer(
        "The API token comes from MILLRACE_TOKEN or the credentials file that deploy/local/up writes.");
    AddReplicate(app, a, action);
    AddApply(app, a, action);
    AddConnector(app, a, action);
    AddPipeline(app, a, action);
    AddTable(app, a, action);
    AddBackfill(app, a, action);
    AddStatus(app, a, action);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    }
    const absl::Status status = RunAction(a, action);
    if (!status.ok()) {
        std::fputs(RenderError(status).c_str(), stderr);
        return 1;
    }
    return 0;
}

}  // namespace
}  // namespace millrace::cli

int main(int argc, char** argv) {
    return millrace::cli::Main(argc, argv);
}
