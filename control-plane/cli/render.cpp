#include "control-plane/cli/render.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/byte_count.h"
#include "base/status.h"

namespace millrace::cli {
namespace {

using nlohmann::ordered_json;

// Columns are counted in characters, not bytes.
size_t Width(const std::string& text) {
    return static_cast<size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string Seconds(double seconds) {
    char buffer[32];
    std::snprintf(buffer, sizeof(buffer), seconds < 10 ? "%.1f s" : "%.0f s", seconds);
    return buffer;
}

struct Totals final {
    int64_t rows = 0;
    int64_t lag_bytes = 0;
    double lag_seconds = 0;
    size_t live = 0;
};

Totals Sum(const v1::PipelineStatus& status) {
    Totals totals;
    for (const v1::TableStatus& table : status.tables()) {
        totals.rows += table.rows_applied();
        totals.lag_bytes += table.lag_bytes();
        totals.lag_seconds = std::max(totals.lag_seconds, table.lag_seconds());
        totals.live += table.state() == v1::TableStatus::STATE_LIVE ? 1 : 0;
    }
    return totals;
}

ordered_json TableJson(const v1::TableStatus& table) {
    return {{"schema", table.schema()},
            {"table", table.table()},
            {"state", StateWord(table.state())},
            {"lag_seconds", table.lag_seconds()},
            {"lag_bytes", table.lag_bytes()},
            {"lag_records", table.lag_records()},
            {"rows", table.rows_applied()},
            {"rows_copied", table.rows_copied()},
            {"rows_estimated", table.rows_estimated()},
            {"dead_letters", table.dead_letters()},
            {"pending_drops",
             std::vector<std::string>(table.pending_drops().begin(), table.pending_drops().end())},
            {"batches", table.batches_applied()},
            {"append_only", table.append_only()},
            {"worker", table.worker_id()},
            {"last_commit_time", Time(table.last_commit_time())},
            {"last_applied_time", Time(table.last_applied_time())},
            {"error", table.error()},
            {"error_reason", table.error_reason()},
            {"remedy", table.remedy()},
            {"attempts", table.attempts()},
            {"next_retry_time", Time(table.next_retry_time())}};
}

ordered_json PublisherJson(const v1::PublisherFacts& facts) {
    return {{"state", Lower(v1::PublisherFacts::State_Name(facts.state()).substr(6))},
            {"worker", facts.worker_id()},
            {"durable_position", facts.durable_position()},
            {"source_position", facts.source_position()},
            {"retained_bytes", facts.retained_bytes()},
            {"events", facts.events_total()},
            {"events_per_second", facts.events_per_second()},
            {"error", facts.error()},
            {"error_reason", facts.error_reason()},
            {"remedy", facts.remedy()}};
}

}  // namespace

std::string Lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
}

std::string WithRemedy(const std::string& message, const std::string& remedy) {
    return remedy.empty() ? message : message + ". " + remedy;
}

std::string Time(const google::protobuf::Timestamp& time) {
    if (time.seconds() == 0) {
        return "";
    }
    std::tm parts{};
    const std::time_t seconds = time.seconds();
    gmtime_r(&seconds, &parts);
    char buffer[96];
    std::snprintf(buffer, sizeof(buffer), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900,
                  parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                  time.nanos() / 1'000'000);
    return buffer;
}

std::string RenderTable(const std::vector<std::vector<std::string>>& rows) {
    std::vector<size_t> widths;
    for (const auto& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (size_t i = 0; i < row.size(); ++i) {
            widths[i] = std::max(widths[i], Width(row[i]));
        }
    }
    std::string out;
    for (const auto& row : rows) {
        std::string line;
        for (size_t i = 0; i < row.size(); ++i) {
            line += row[i];
            if (i + 1 < row.size()) {
                line.append(widths[i] - Width(row[i]) + 2, ' ');
            }
        }
        out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
    }
    return out;
}

std::string StateWord(v1::PipelineStatus::State state) {
    return state == v1::PipelineStatus::STATE_UNSPECIFIED
               ? "unknown"
               : Lower(v1::PipelineStatus::State_Name(state).substr(6));
}

std::string StateText(const v1::TableStatus& table) {
    std::string text = StateWord(table.state());
    if (table.state() == v1::TableStatus::STATE_COPYING && table.rows_copied() > 0) {
        text += ", " + HumanCount(table.rows_copied()) + " rows read";
        if (table.rows_estimated() > table.rows_copied()) {
            text += " of about " + HumanCount(table.rows_estimated());
        }
    }
    return text;
}

std::string StateWord(v1::TableStatus::State state) {
    return state == v1::TableStatus::STATE_UNSPECIFIED ? "unknown"
                                                       : Lower(v1::TableStatus::State_Name(state).substr(6));
}

std::string IdOf(const std::string& resource_name) {
    return resource_name.substr(resource_name.rfind('/') + 1);
}

std::string HumanBytes(int64_t bytes) {
    return base::ByteCount(bytes).ToString();
}

std::string HumanCount(int64_t count) {
    std::string digits = std::to_string(count);
    for (int at = static_cast<int>(digits.size()) - 3; at > 0; at -= 3) {
        digits.insert(static_cast<size_t>(at), ",");
    }
    return digits;
}

std::string RenderPipelineList(const std::vector<v1::Pipeline>& pipelines) {
    if (pipelines.empty()) {
        return "No pipelines. Make one with `millrace replicate`.\n";
    }
    std::vector<std::vector<std::string>> rows{
        {"NAME", "STATE", "TABLES", "ROWS", "LAG", "BEHIND", "MESSAGE"}};
    for (const v1::Pipeline& pipeline : pipelines) {
        const v1::PipelineStatus& status = pipeline.status();
        const Totals totals = Sum(status);
        rows.push_back({IdOf(pipeline.metadata().name()), StateWord(status.state()),
                        std::to_string(totals.live) + "/" + std::to_string(status.tables_size()) + " live",
                        HumanCount(totals.rows), Seconds(totals.lag_seconds),
                        HumanBytes(totals.lag_bytes + status.publisher().retained_bytes()),
                        status.message()});
    }
    return RenderTable(rows);
}

std::string RenderPipelineStatus(const v1::Pipeline& pipeline) {
    const v1::PipelineStatus& status = pipeline.status();
    const v1::PublisherFacts& publisher = status.publisher();
    std::string out = IdOf(pipeline.metadata().name()) + ": " + StateWord(status.state());
    if (!status.message().empty()) {
        out += "  " + status.message();
    }
    out += "\n  source log " + publisher.source_position() + ", durable in Kafka " +
           publisher.durable_position() + ", retained " + HumanBytes(publisher.retained_bytes()) + ", " +
           HumanCount(static_cast<int64_t>(publisher.events_per_second())) + " changes/s";
    if (!publisher.error().empty() && publisher.state() != v1::PublisherFacts::STATE_STANDBY) {
        out += "\n  publisher: " + WithRemedy(publisher.error(), publisher.remedy());
    }
    out += "\n";
    std::vector<std::vector<std::string>> rows{
        {"  TABLE", "STATE", "ROWS", "DEAD", "LAG", "BEHIND", "WORKER", "ERROR"}};
    for (const v1::TableStatus& table : status.tables()) {
        rows.push_back(
            {"  " + table.schema() + "." + table.table() + (table.append_only() ? " (append)" : ""),
             StateText(table), HumanCount(table.rows_applied()),
             table.dead_letters() == 0 ? "" : HumanCount(table.dead_letters()), Seconds(table.lag_seconds()),
             HumanBytes(table.lag_bytes()), table.worker_id(), WithRemedy(table.error(), table.remedy())});
    }
    return out + RenderTable(rows);
}

std::string PipelinesAsJson(const std::vector<v1::Pipeline>& pipelines) {
    ordered_json list = ordered_json::array();
    for (const v1::Pipeline& pipeline : pipelines) {
        const v1::PipelineStatus& status = pipeline.status();
        const Totals totals = Sum(status);
        ordered_json tables = ordered_json::array();
        for (const v1::TableStatus& table : status.tables()) {
            tables.push_back(TableJson(table));
        }
        list.push_back({{"name", IdOf(pipeline.metadata().name())},
                        {"resource", pipeline.metadata().name()},
                        {"generation", pipeline.metadata().generation()},
                        {"source", IdOf(pipeline.spec().source())},
                        {"destination", IdOf(pipeline.spec().destination())},
                        {"state", StateWord(status.state())},
                        {"message", status.message()},
                        {"reason", status.reason()},
                        {"lag_seconds", totals.lag_seconds},
                        {"lag_bytes", totals.lag_bytes + status.publisher().retained_bytes()},
                        {"rows", totals.rows},
                        {"facts_time", Time(status.facts_time())},
                        {"publisher", PublisherJson(status.publisher())},
                        {"tables", std::move(tables)}});
    }
    return ordered_json{{"pipelines", std::move(list)}}.dump(2, ' ', false,
                                                             ordered_json::error_handler_t::replace) +
           "\n";
}

std::string RenderConnectorList(const std::vector<v1::Connector>& connectors) {
    if (connectors.empty()) {
        return "No connectors.\n";
    }
    std::vector<std::vector<std::string>> rows{{"NAME", "TYPE", "DATA PLANE", "OPTIONS"}};
    for (const v1::Connector& connector : connectors) {
        std::map<std::string, std::string> sorted(connector.spec().options().begin(),
                                                  connector.spec().options().end());
        std::string options;
        for (const auto& [name, value] : sorted) {
            options += (options.empty() ? "" : " ") + name + "=" + value;
        }
        if (!connector.spec().sealed_secrets().empty()) {
            options += options.empty() ? "secrets=(sealed)" : " secrets=(sealed)";
        }
        rows.push_back({IdOf(connector.metadata().name()), connector.spec().type(),
                        IdOf(connector.spec().data_plane()), options});
    }
    return RenderTable(rows);
}

std::string ConnectorsAsJson(const std::vector<v1::Connector>& connectors) {
    ordered_json list = ordered_json::array();
    for (const v1::Connector& connector : connectors) {
        std::map<std::string, std::string> options(connector.spec().options().begin(),
                                                   connector.spec().options().end());
        list.push_back({{"name", IdOf(connector.metadata().name())},
                        {"resource", connector.metadata().name()},
                        {"generation", connector.metadata().generation()},
                        {"type", connector.spec().type()},
                        {"data_plane", connector.spec().data_plane()},
                        {"options", options},
                        {"secrets", connector.spec().sealed_secrets().empty() ? "" : "(sealed)"},
                        {"sealed_to", connector.spec().sealed_to()}});
    }
    return ordered_json{{"connectors", std::move(list)}}.dump(2, ' ', false,
                                                              ordered_json::error_handler_t::replace) +
           "\n";
}

std::string RenderFindings(const std::vector<v1::Finding>& findings, bool with_passed) {
    std::string out;
    for (const v1::Finding& finding : findings) {
        const char* mark = "✓";
        if (finding.severity() == v1::Finding::SEVERITY_CRITICAL) {
            mark = "✗";
        } else if (finding.severity() == v1::Finding::SEVERITY_WARNING) {
            mark = "!";
        } else if (!with_passed) {
            continue;
        }
        out += std::string("  ") + mark + " " + finding.message() + "\n";
        if (!finding.remedy().empty()) {
            std::string remedy = finding.remedy();
            for (size_t at = 0; (at = remedy.find('\n', at)) != std::string::npos; at += 7) {
                remedy.replace(at, 1, "\n      ");
            }
            out += "      " + remedy + "\n";
        }
    }
    return out;
}

bool HasCritical(const std::vector<v1::Finding>& findings) {
    return std::any_of(findings.begin(), findings.end(),
                       [](const v1::Finding& f) { return f.severity() == v1::Finding::SEVERITY_CRITICAL; });
}

std::string RenderError(const absl::Status& status) {
    std::string out = "error: " + std::string(status.message()) + "\n";
    if (const std::string remedy = base::RemedyOf(status); !remedy.empty()) {
        out += "       " + remedy + "\n";
    }
    return out;
}

}  // namespace millrace::cli
