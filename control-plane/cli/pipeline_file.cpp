#include "control-plane/cli/pipeline_file.h"

#include <yaml-cpp/yaml.h>

#include <map>
#include <utility>

#include "base/status.h"

namespace millrace::cli {
namespace {

constexpr double kLongestFlushSeconds = 86'400;
constexpr int64_t kMostConnections = 32;

absl::Status BadFile(const std::string& file, const std::string& what) {
    return base::MakeError(absl::StatusCode::kInvalidArgument, "FILE_INVALID", file + ": " + what,
                           "docs/cli.md shows a whole file");
}

class Reader final {
 public:
    explicit Reader(std::string file) : file_(std::move(file)) {}

    absl::StatusOr<PipelineFile> Read(const YAML::Node& root) {
        if (!root.IsMap()) {
            return BadFile(file_, "the file is not a mapping");
        }
        PipelineFile declared;
        for (const auto& entry : root) {
            RETURN_IF_ERROR(ReadField(entry.first.as<std::string>(), entry.second, declared));
        }
        if (declared.name.empty()) {
            return BadFile(file_, "'name' is missing");
        }
        for (const ConnectorInput* input : {&declared.source, &declared.destination}) {
            if (input->url.empty() == input->type.empty()) {
                return BadFile(file_, "'" + input->role + "' needs either 'url' or 'type'");
            }
        }
        if (declared.tables.empty()) {
            declared.tables = {"*.*"};
        }
        return declared;
    }

 private:
    absl::Status ReadField(const std::string& key, const YAML::Node& node, PipelineFile& declared) {
        if (key == "name") {
            declared.name = node.as<std::string>();
        } else if (key == "source") {
            return ReadConnector(node, declared.source);
        } else if (key == "destination") {
            return ReadConnector(node, declared.destination);
        } else if (key == "tables") {
            declared.tables = node.as<std::vector<std::string>>();
        } else if (key == "exclude") {
            declared.exclude = node.as<std::vector<std::string>>();
        } else if (key == "keys") {
            declared.keys = node.as<std::map<std::string, std::string>>();
        } else if (key == "flush") {
            return ReadFlush(node, declared);
        } else if (key == "backfill") {
            return ReadBackfill(node, declared);
        } else if (key == "columns") {
            return ReadColumns(node, declared);
        } else if (key == "refused_values") {
            declared.refused_values = node.as<std::string>();
            if (declared.refused_values != "dead-letter" && declared.refused_values != "hold" &&
                declared.refused_values != "text") {
                return BadFile(file_, "'refused_values' is 'dead-letter', 'hold' or 'text', not '" +
                                          declared.refused_values + "'");
            }
        } else if (key == "dropped_columns") {
            declared.dropped_columns = node.as<std::string>();
            if (declared.dropped_columns != "keep" && declared.dropped_columns != "drop") {
                return BadFile(
                    file_, "'dropped_columns' is 'keep' or 'drop', not '" + declared.dropped_columns + "'");
            }
        } else if (key == "codec") {
            declared.codec = node.as<std::string>();
            if (declared.codec != "native" && declared.codec != "debezium-json") {
                return BadFile(file_,
                               "'codec' is 'native' or 'debezium-json', not '" + declared.codec + "'");
            }
        } else if (key == "state") {
            const auto state = node.as<std::string>();
            if (state != "running" && state != "paused") {
                return BadFile(file_, "'state' is 'running' or 'paused', not '" + state + "'");
            }
            declared.paused = state == "paused";
        } else {
            return BadFile(file_, "unknown field '" + key + "'");
        }
        return absl::OkStatus();
    }

    absl::Status ReadConnector(const YAML::Node& node, ConnectorInput& input) {
        for (const auto& entry : node) {
            const auto key = entry.first.as<std::string>();
            if (key == "url") {
                input.url = entry.second.as<std::string>();
            } else if (key == "type") {
                input.type = entry.second.as<std::string>();
            } else if (key == "options") {
                input.options = entry.second.as<std::map<std::string, std::string>>();
            } else if (key == "secrets") {
                for (const auto& secret : entry.second) {
                    input.secrets[secret.first.as<std::string>()] =
                        base::Secret(secret.second.as<std::string>());
                }
            } else {
                return BadFile(file_, "unknown field '" + input.role + "." + key + "'");
            }
        }
        return absl::OkStatus();
    }

    absl::Status ReadFlush(const YAML::Node& node, PipelineFile& declared) {
        for (const auto& entry : node) {
            const auto key = entry.first.as<std::string>();
            if (key == "rows") {
                declared.flush_rows = entry.second.as<int64_t>();
            } else if (key == "bytes") {
                declared.flush_bytes = entry.second.as<int64_t>();
            } else if (key == "seconds") {
                declared.flush_seconds = entry.second.as<double>();
            } else {
                return BadFile(file_, "unknown field 'flush." + key + "'");
            }
        }
        // Written so that it refuses what is no number, too.
        const bool seconds_good =
            declared.flush_seconds >= 0 && declared.flush_seconds <= kLongestFlushSeconds;
        if (!seconds_good || declared.flush_rows < 0 || declared.flush_bytes < 0) {
            return BadFile(file_, "the limits of 'flush' are not negative, and 'seconds' is at most a day");
        }
        return absl::OkStatus();
    }

    absl::Status ReadBackfill(const YAML::Node& node, PipelineFile& declared) {
        for (const auto& entry : node) {
            const auto key = entry.first.as<std::string>();
            int64_t* const rule = key == "connections"        ? &declared.backfill_connections
                                  : key == "chunk_rows"       ? &declared.backfill_chunk_rows
                                  : key == "rows_per_second"  ? &declared.backfill_rows_per_second
                                  : key == "bytes_per_second" ? &declared.backfill_bytes_per_second
                                                              : nullptr;
            if (rule == nullptr) {
                return BadFile(file_, "unknown field 'backfill." + key + "'");
            }
            *rule = entry.second.as<int64_t>();
            if (*rule < 0) {
                return BadFile(file_, "the limits of 'backfill' are not negative");
            }
        }
        if (declared.backfill_connections > kMostConnections) {
            return BadFile(file_, "'backfill.connections' is at most " + std::to_string(kMostConnections));
        }
        return absl::OkStatus();
    }

    absl::Status ReadColumns(const YAML::Node& node, PipelineFile& declared) {
        if (!node.IsSequence()) {
            return BadFile(
                file_, "'columns' is a list of rules, each with 'table' and 'include', 'exclude' or 'hash'");
        }
        for (const auto& item : node) {
            ColumnRuleInput& rule = declared.columns.emplace_back();
            for (const auto& entry : item) {
                const auto key = entry.first.as<std::string>();
                if (key == "table") {
                    rule.table = entry.second.as<std::string>();
                } else if (key == "include") {
                    rule.include = entry.second.as<std::vector<std::string>>();
                } else if (key == "exclude") {
                    rule.exclude = entry.second.as<std::vector<std::string>>();
                } else if (key == "hash") {
                    rule.hash = entry.second.as<std::vector<std::string>>();
                } else {
                    return BadFile(file_, "unknown field 'columns." + key + "'");
                }
            }
            if (rule.table.empty()) {
                return BadFile(file_, "a rule of 'columns' has no 'table'");
            }
        }
        return absl::OkStatus();
    }

    const std::string file_;
};

}  // namespace

absl::StatusOr<PipelineFile> ParsePipelineFile(const std::string& file, const std::string& text) {
    try {
        return Reader(file).Read(YAML::Load(text));
    } catch (const YAML::Exception& error) {
        return BadFile(file, "line " + std::to_string(error.mark.line + 1) + ": " + error.msg);
    }
}

}  // namespace millrace::cli
