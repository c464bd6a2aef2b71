/// All rows of a table without a key, piece by piece, out of one transaction that lasts as long as the reading does. Not for: tables
/// with a key, whose chunks are short transactions (chunk_reader.h).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/pq.h"
#include "connectors/postgres/copy_row_parser.h"
#include "connectors/sdk/chunk.h"
#include "connectors/sdk/source.h"

namespace millrace::postgres {

/// Reads at the server itself, also where there is a replica. The table is locked against DDL as long as the reader lives.
class WholeReader final : public sdk::ChunkReader {
 public:
    /// Waits for the lock for some seconds: Unavailable, reason TABLE_LOCKED.
    static absl::StatusOr<std::unique_ptr<WholeReader>> Open(const base::PqParameters& parameters, const sdk::SourceTable& table);

    /// What every chunk sees; once.
    absl::StatusOr<sdk::Sight> Look() override;
    /// The next rows, wherever the request begins; it has no keys. Aborted, reason READING_ENDED: the transaction is gone, or Look was
    /// not called.
    absl::StatusOr<sdk::Chunk> Read(const sdk::ChunkRequest& request) override;
    void Cancel() override;

 private:
    WholeReader(std::unique_ptr<base::PqConnection> session, std::unique_ptr<base::PqConnection> outside, sdk::SourceTable table)
        : session_(std::move(session)), outside_(std::move(outside)), table_(std::move(table)) {}

    absl::Status Take(const sdk::ChunkRequest& request, sdk::Chunk& chunk);

    const std::unique_ptr<base::PqConnection> session_;
    /// Until Look: who runs must be asked before the transaction has a snapshot.
    std::unique_ptr<base::PqConnection> outside_;
    const sdk::SourceTable table_;
    /// Of the transaction.
    sdk::Visibility seen_;
    sdk::SchemaPtr shape_;
    std::vector<std::string> left_out_;
    uint64_t position_ = 0;
    /// What is to be read; empty once it is being read.
    std::string query_;
    bool begun_ = false;
    CopyRowParser parser_;
    std::vector<sdk::Cell> cells_;
};

}  // namespace millrace::postgres
