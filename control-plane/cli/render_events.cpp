// How the tables of a pipeline and its events look.
#include <nlohmann/json.hpp>

#include "absl/strings/str_join.h"
#include "control-plane/cli/render.h"

namespace millrace::cli {
namespace {

using nlohmann::ordered_json;

/// "table_held", …
std::string TypeWord(v1::PipelineEvent::Type type) {
    return Lower(v1::PipelineEvent::Type_Name(type).substr(5));
}

std::string Subject(const v1::PipelineEvent& event) {
    return event.table().empty() ? "" : event.schema() + "." + event.table();
}

}  // namespace

std::string OffsetRange(int64_t first, int64_t next) {
    return next == 0 ? "" : std::to_string(first) + "-" + std::to_string(next - 1);
}

std::string RenderEvents(const std::vector<v1::PipelineEvent>& events) {
    std::string out;
    for (const v1::PipelineEvent& event : events) {
        out += Time(event.time()) + "  " + TypeWord(event.type());
        for (const std::string& part : {Subject(event), event.message()}) {
            out += part.empty() ? "" : "  " + part;
        }
        out += event.position().empty() ? "" : "  (" + event.position() + ")";
        out += event.before().empty() ? "" : "\n    before: " + event.before();
        out += event.after().empty() ? "" : "\n    after:  " + event.after();
        out += "\n";
    }
    return out;
}

std::string EventsAsJson(const std::vector<v1::PipelineEvent>& events) {
    std::string out;
    for (const v1::PipelineEvent& event : events) {
        const ordered_json json = {
            {"sequence", event.sequence()},   {"id", event.id()},           {"time", Time(event.time())},
            {"type", TypeWord(event.type())}, {"schema", event.schema()},   {"table", event.table()},
            {"before", event.before()},       {"after", event.after()},     {"message", event.message()},
            {"position", event.position()},   {"worker", event.worker_id()}};
        out += json.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
    }
    return out;
}

std::string RenderTables(const v1::PipelineStatus& status) {
    std::vector<std::vector<std::string>> rows{
        {"TABLE", "STATE", "ROWS", "BEHIND", "HELD AT", "DROPS PENDING", "WORKER", "ERROR"}};
    for (const v1::TableStatus& table : status.tables()) {
        rows.push_back({table.schema() + "." + table.table(), StateText(table),
                        HumanCount(table.rows_applied()), HumanBytes(table.lag_bytes()),
                        OffsetRange(table.held_first_offset(), table.held_next_offset()),
                        absl::StrJoin(table.pending_drops(), ", "), table.worker_id(),
                        WithRemedy(table.error(), table.remedy())});
    }
    return RenderTable(rows);
}

std::string TablesAsJson(const v1::PipelineStatus& status) {
    ordered_json tables = ordered_json::array();
    for (const v1::TableStatus& table : status.tables()) {
        tables.push_back({{"schema", table.schema()},
                          {"table", table.table()},
                          {"state", StateWord(table.state())},
                          {"rows", table.rows_applied()},
                          {"lag_bytes", table.lag_bytes()},
                          {"held_first_offset", table.held_first_offset()},
                          {"held_next_offset", table.held_next_offset()},
                          {"pending_drops", std::vector<std::string>(table.pending_drops().begin(),
                                                                     table.pending_drops().end())},
                          {"worker", table.worker_id()},
                          {"error", table.error()},
                          {"error_reason", table.error_reason()},
                          {"remedy", table.remedy()}});
    }
    return ordered_json{{"tables", tables}}.dump(2, ' ', false, ordered_json::error_handler_t::replace) +
           "\n";
}

}  // namespace millrace::cli
