/// A DuckDB file as a destination. Not for: sharing of the file (database_file.h), the merge
/// (connectors/sdk/sql).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "connectors/duckdb/database_file.h"
#include "connectors/duckdb/dialect.h"
#include "connectors/duckdb/session.h"
#include "connectors/sdk/destination.h"
#include "connectors/sdk/options.h"

namespace millrace::duckdb {

std::vector<sdk::OptionSpec> DestinationOptions();

class DuckDbDestination final : public sdk::Destination {
 public:
    explicit DuckDbDestination(std::shared_ptr<DatabaseFile> file);

    /// Codes: DST_CONNECT, DST_WRITE, DST_EMPTY, DST_NOT_EMPTY, DST_AMBIGUOUS_NAME, NAME_CLASH, and the
    /// reasons of DatabaseFile::Acquire. A file that does not exist is tried under another name beside it.
    sdk::Findings Preflight(const sdk::StreamId& stream,
                            const std::vector<sdk::TableTarget>& tables) override;
    absl::StatusOr<std::unique_ptr<sdk::TableWriter>> OpenTable(const sdk::TableTarget& target,
                                                                const sdk::StreamId& stream) override;
    [[nodiscard]] sdk::FlushDefaults flush_defaults() const override;
    absl::Status Remove(const std::string& pipeline_uid) override;

 private:
    const std::shared_ptr<DatabaseFile> file_;
    const DuckDbDialect dialect_;
    FileSessions sessions_;
};

/// InvalidArgument, reason OPTION_INVALID.
absl::StatusOr<std::unique_ptr<sdk::Destination>> MakeDestination(DatabaseFiles& files,
                                                                  const sdk::Options& options);

}  // namespace millrace::duckdb
