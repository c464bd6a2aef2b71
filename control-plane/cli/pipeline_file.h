/// A pipeline declared in a YAML file, read out of the file's text. Not for: files themselves, what the
/// server makes of it (apply).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "control-plane/cli/connector_form.h"

namespace millrace::cli {

/// See ColumnRule in resources.proto.
struct ColumnRuleInput final {
    std::string table;
    std::vector<std::string> include;
    std::vector<std::string> exclude;
    std::vector<std::string> hash;
};

/// A pipeline as its file declares it; docs/cli.md describes the form.
struct PipelineFile final {
    std::string name;
    ConnectorInput source{.role = "source"};
    ConnectorInput destination{.role = "destination"};
    std::vector<std::string> tables;
    std::vector<std::string> exclude;
    /// "schema.table" → name of the unique index that is its key.
    std::map<std::string, std::string> keys;
    int64_t flush_rows = 0;
    int64_t flush_bytes = 0;
    double flush_seconds = 0;
    /// 0: the default.
    int64_t backfill_connections = 0;
    int64_t backfill_chunk_rows = 0;
    int64_t backfill_rows_per_second = 0;
    int64_t backfill_bytes_per_second = 0;
    bool paused = false;
    /// "dead-letter", "hold" or "text".
    std::string refused_values = "dead-letter";
    /// "keep" or "drop".
    std::string dropped_columns = "keep";
    /// "native" or "debezium-json".
    std::string codec = "native";
    std::vector<ColumnRuleInput> columns;
};

/// InvalidArgument, reason FILE_INVALID, names `file` and the line or field that is wrong.
absl::StatusOr<PipelineFile> ParsePipelineFile(const std::string& file, const std::string& text);

}  // namespace millrace::cli
