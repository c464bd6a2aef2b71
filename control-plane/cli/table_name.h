/// Which table of a pipeline a user means. Not for: what is done with it.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/status.h"
#include "control-plane/cli/commands.h"

namespace millrace::cli {

struct TableName final {
    std::string schema;
    std::string table;
};

/// The table is what follows the first dot; where names hold dots themselves, the pipeline's own table of that name.
/// InvalidArgument: `text` is no name of a table, or of several.
absl::StatusOr<TableName> ResolveTable(Client& client, const Scope& scope, const std::string& id, const std::string& text);

/// A request for a verb of that table.
template <typename Request>
absl::StatusOr<Request> Naming(Client& client, const Scope& scope, const std::string& id,
                               const std::string& table) {
    ASSIGN_OR_RETURN(const TableName name, ResolveTable(client, scope, id, table));
    Request request;
    request.set_name(scope.PipelineName(id));
    request.set_schema(name.schema);
    request.set_table(name.table);
    return request;
}

}  // namespace millrace::cli
