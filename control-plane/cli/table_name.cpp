#include "control-plane/cli/table_name.h"

#include <optional>
#include <utility>

#include "base/status.h"

namespace millrace::cli {
namespace {

absl::Status Usage(const std::string& message, const std::string& remedy) {
    return base::MakeError(absl::StatusCode::kInvalidArgument, "TABLE_NAME", message, remedy);
}

/// "schema"."table", quotes within names doubled; nothing when it is not of that form.
std::optional<TableName> ParseQuoted(const std::string& text) {
    std::vector<std::string> parts;
    size_t at = 0;
    while (at < text.size() && text[at] == '"' && parts.size() < 2) {
        std::string& part = parts.emplace_back();
        for (++at; at < text.size(); ++at) {
            if (text[at] != '"') {
                part += text[at];
            } else if (at + 1 < text.size() && text[at + 1] == '"') {
                part += text[at++];
            } else {
                break;
            }
        }
        ++at;
        if (parts.size() == 1 && (at >= text.size() || text[at++] != '.')) {
            return std::nullopt;
        }
    }
    if (parts.size() != 2 || at != text.size() || parts[0].empty() || parts[1].empty()) {
        return std::nullopt;
    }
    return TableName{std::move(parts[0]), std::move(parts[1])};
}

}  // namespace

absl::StatusOr<TableName> ResolveTable(Client& client, const Scope& scope, const std::string& id,
                                       const std::string& text) {
    if (auto quoted = ParseQuoted(text)) {
        return *std::move(quoted);
    }
    const size_t dot = text.find('.');
    if (dot == 0 || dot == std::string::npos || dot + 1 == text.size()) {
        return Usage("'" + text + "' is not of the form schema.table",
                     "`millrace table list` shows the names");
    }
    TableName name{text.substr(0, dot), text.substr(dot + 1)};
    if (name.table.find('.') == std::string::npos) {
        return name;
    }
    ASSIGN_OR_RETURN(const v1::Pipeline pipeline, client.GetPipeline(scope.PipelineName(id)));
    int found = 0;
    for (const v1::TableStatus& table : pipeline.status().tables()) {
        if (table.schema() + "." + table.table() == text) {
            name = {table.schema(), table.table()};
            ++found;
        }
    }
    if (found > 1) {
        return Usage("'" + text + "' names several tables", "Write it as '\"schema\".\"table\"'");
    }
    return name;
}

}  // namespace millrace::cli
