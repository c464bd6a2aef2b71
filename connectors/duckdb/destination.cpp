#include "connectors/duckdb/destination.h"

#include <unistd.h>

#include <filesystem>
#include <map>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "base/status.h"
#include "base/text.h"
#include "connectors/duckdb/path_check.h"
#include "connectors/sdk/sql/merge_writer.h"
#include "connectors/sdk/sql/preflight.h"

namespace millrace::duckdb {
namespace {

using sdk::Finding;
using sdk::Findings;
using sdk::Severity;

constexpr int64_t kMaxThreads = 256;

// Tables that DuckDB would take for one.
void CheckNames(const std::string& path, const std::vector<sdk::TableTarget>& tables, Findings& findings) {
    std::map<std::pair<std::string, std::string>, std::string> seen;
    const std::string catalog = std::filesystem::path(path).stem().string();
    bool ambiguous = false;
    for (const sdk::TableTarget& table : tables) {
        // Names may hold dots themselves.
        const auto [other, added] = seen.emplace(
            std::pair(absl::AsciiStrToLower(table.schema), absl::AsciiStrToLower(table.table)), table.DisplayName());
        if (IsReservedSchema(table.schema)) {
            findings.push_back({.code = "NAME_CLASH",
                                .severity = Severity::kCritical,
                                .message = base::Concat("table ", table.DisplayName(),
                                                        " cannot be kept in DuckDB: ", kReservedSchema),
                                .remedy = "Exclude the table from the pipeline.",
                                .subject = table.DisplayName()});
        }
        if (!added) {
            findings.push_back({.code = "NAME_CLASH",
                                .severity = Severity::kCritical,
                                .message = base::Concat("DuckDB ignores case and cannot tell ",
                                                        table.DisplayName(), " from ", other->second),
                                .remedy = "Exclude one of the two from the pipeline.",
                                .subject = table.DisplayName()});
        }
        if (absl::EqualsIgnoreCase(table.schema, catalog) && !std::exchange(ambiguous, true)) {
            findings.push_back({.code = "DST_AMBIGUOUS_NAME",
                                .severity = Severity::kInfo,
                                .message = base::Concat("the file and the schema ", table.schema,
                                                        " share a name: queries must say ", catalog, ".",
                                                        table.schema, ".", table.table),
                                .remedy = {},
                                .subject = path});
        }
    }
}

// Where DuckDB is tried out: the file itself, or a passing one beside it where there is none yet.
class TrialFile final {
 public:
    explicit TrialFile(std::shared_ptr<DatabaseFile> file) : file_(std::move(file)) {
        std::error_code error;
        if (!std::filesystem::exists(file_->path(), error)) {
            passing_ =
                base::Concat(file_->path(), ".preflight-", getpid(), "-", reinterpret_cast<uintptr_t>(this));
            file_ = std::make_shared<DatabaseFile>(passing_, file_->limits(), LeasePolicy{});
        }
    }
    ~TrialFile() {
        if (!passing_.empty()) {
            file_.reset();  // closed by that
            unlink(passing_.c_str());
            unlink((passing_ + ".wal").c_str());
        }
    }
    TrialFile(const TrialFile&) = delete;
    TrialFile& operator=(const TrialFile&) = delete;
    [[nodiscard]] const std::shared_ptr<DatabaseFile>& file() const { return file_; }

 private:
    std::shared_ptr<DatabaseFile> file_;
    std::string passing_;
};

}  // namespace

std::vector<sdk::OptionSpec> DestinationOptions() {
    using Kind = sdk::OptionSpec::Kind;
    return {
        {.name = "path",
         .required = true,
         .default_value = {},
         .documentation =
             "The DuckDB file, on the machine of the worker. Made when it does not exist; its folder must.",
         .url_part = sdk::OptionSpec::UrlPart::kPath,
         .choices = {}},
        {.name = "memory_limit",
         .kind = Kind::kBytes,
         .default_value = "1GB",
         .documentation = "Memory that DuckDB may use for this file; beyond it, it spills to disk.",
         .choices = {}},
        {.name = "threads",
         .kind = Kind::kInteger,
         .default_value = "2",
         .documentation = "Threads that DuckDB may use for this file.",
         .choices = {}},
    };
}

DuckDbDestination::DuckDbDestination(std::shared_ptr<DatabaseFile> file)
    : file_(std::move(file)), sessions_(file_) {}

Findings DuckDbDestination::Preflight(const sdk::StreamId& stream,
                                      const std::vector<sdk::TableTarget>& tables) {
    Findings findings;
    if (const absl::Status status = CheckPath(file_->path()); !status.ok()) {
        findings.push_back(sdk::FindingFromStatus(status, file_->path()));
        return findings;
    }
    CheckNames(file_->path(), tables, findings);
    const TrialFile trial(file_);
    FileSessions sessions(trial.file());
    const auto session = sessions.Acquire();
    if (!session.ok()) {
        findings.push_back(sdk::FindingFromStatus(session.status(), file_->path()));
        return findings;
    }
    findings.push_back({.code = "DST_CONNECT",
                        .severity = Severity::kOk,
                        .message = base::Concat("the file ", file_->path(), " can be opened for writing"),
                        .remedy = {},
                        .subject = file_->path()});
    for (Finding& finding : sql::CheckDestination(**session, dialect_, stream, tables)) {
        findings.push_back(std::move(finding));
    }
    return findings;
}

absl::StatusOr<std::unique_ptr<sdk::TableWriter>> DuckDbDestination::OpenTable(const sdk::TableTarget& target,
                                                                               const sdk::StreamId& stream) {
    return std::make_unique<sql::MergeWriter>(sessions_, dialect_, target, stream);
}

sdk::FlushDefaults DuckDbDestination::flush_defaults() const {
    return {.rows = 200'000, .bytes = base::ByteCount::MiB(8), .interval = std::chrono::milliseconds(200)};
}

absl::Status DuckDbDestination::Remove(const std::string& pipeline_uid) {
    std::error_code error;
    if (!std::filesystem::exists(file_->path(), error)) {
        return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const auto session, sessions_.Acquire());
    return sql::RemoveCheckpoints(*session, dialect_, pipeline_uid);
}

absl::StatusOr<std::unique_ptr<sdk::Destination>> MakeDestination(DatabaseFiles& files,
                                                                  const sdk::Options& options) {
    const std::string path = options.String("path");
    if (path.empty() || path.back() == '/' || path.starts_with(":memory:")) {
        return base::MakeError(absl::StatusCode::kInvalidArgument, "OPTION_INVALID",
                               base::Concat("path \"", path, "\" names no file"),
                               "Give the path of a file, for example /var/lib/millrace/warehouse.duckdb.");
    }
    const int64_t threads = options.Integer("threads");
    if (threads < 1 || threads > kMaxThreads) {
        return base::MakeError(absl::StatusCode::kInvalidArgument, "OPTION_INVALID",
                               base::Concat("threads is ", threads),
                               base::Concat("Give a number from 1 to ", kMaxThreads, "."));
    }
    Engine::Limits limits;
    limits.memory = options.Bytes("memory_limit");
    limits.threads = static_cast<int>(threads);
    if (limits.memory < base::ByteCount::MiB(64)) {
        return base::MakeError(absl::StatusCode::kInvalidArgument, "OPTION_INVALID",
                               base::Concat("memory_limit is ", limits.memory.ToString()),
                               "Give at least 64MB.");
    }
    return std::make_unique<DuckDbDestination>(files.Get(path, limits));
}

}  // namespace millrace::duckdb
