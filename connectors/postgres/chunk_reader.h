/// Chunks of a table by its key, each in a short transaction with the snapshot that it saw. Not for: copies under a slot's
/// snapshot (snapshot_copy.h), resolving chunks against the stream.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/pq.h"
#include "connectors/postgres/catalog.h"
#include "connectors/sdk/chunk.h"
#include "connectors/sdk/source.h"

namespace millrace::postgres {

struct ChunkKeyColumn final {
    std::string name;
    std::string type;
};

/// The key of the table in the order of the index that has it. Empty when it cannot be read by its key: it has none, or the
/// type of a column brings operators of its own, which a session with a fixed search_path does not find.
absl::StatusOr<std::vector<ChunkKeyColumn>> ChunkKey(base::PqConnection& session, const sdk::SourceTable& table);

class ChunkReader final : public sdk::ChunkReader {
 public:
    /// Rows are read from the replica if there is one. nullptr when the table has no ChunkKey. FailedPrecondition, reason
    /// REPLICA_OTHER.
    static absl::StatusOr<std::unique_ptr<ChunkReader>> Open(const base::PqParameters& parameters,
                                                             const std::optional<base::PqParameters>& replica,
                                                             const sdk::SourceTable& table);

    absl::StatusOr<sdk::Sight> Look() override;
    absl::StatusOr<std::vector<sdk::KeyTexts>> Split(int pieces) override;
    absl::StatusOr<sdk::Chunk> Read(const sdk::ChunkRequest& request) override;
    void Cancel() override;

 private:
    ChunkReader(base::PqParameters parameters, std::optional<base::PqParameters> replica, sdk::SourceTable table)
        : parameters_(std::move(parameters)), replica_(std::move(replica)), table_(std::move(table)) {}

    /// Makes the session, anew when it was lost.
    absl::Status Connect();
    absl::StatusOr<std::vector<sdk::KeyTexts>> SplitInTransaction(int pieces);
    absl::StatusOr<sdk::Chunk> ReadInTransaction(const sdk::ChunkRequest& request);
    absl::StatusOr<CatalogTable> Describe(sdk::Chunk& chunk);
    absl::StatusOr<sdk::KeyTexts> GreatestKey(const CatalogTable& table);
    /// WHERE_INVALID: the condition is none.
    absl::Status CheckWhere(const CatalogTable& table, const std::string& where);
    /// The key of the last of the request's rows; empty when there are fewer.
    absl::StatusOr<sdk::KeyTexts> LastOf(const CatalogTable& table, const sdk::ChunkRequest& request);
    absl::StatusOr<sdk::KeyTexts> OneKey(const std::string& query);
    absl::Status CopyRows(const CatalogTable& table, const sdk::ChunkRequest& request, sdk::Chunk& chunk);

    [[nodiscard]] std::string KeyList(std::string_view suffix = "") const;
    [[nodiscard]] std::string KeyLiteral(const sdk::KeyTexts& key) const;
    [[nodiscard]] std::string Condition(const sdk::ChunkRequest& request) const;

    const base::PqParameters parameters_;
    const std::optional<base::PqParameters> replica_;
    const sdk::SourceTable table_;
    std::vector<ChunkKeyColumn> key_;
    /// Guards `session_` between Connect and Cancel, which another thread calls.
    std::mutex mutex_;
    std::unique_ptr<base::PqConnection> session_;
};

}  // namespace millrace::postgres
