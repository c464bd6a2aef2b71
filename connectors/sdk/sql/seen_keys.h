/// `_millrace.resync_…`: the keys of a table that came since its resync began, beside the data until the resync ends. Not for:
/// writing the rows (merge_writer).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "connectors/sdk/destination.h"
#include "connectors/sdk/sql/dialect.h"
#include "connectors/sdk/sql/session.h"

namespace millrace::sql {

/// A key column of the target as it stands at the destination.
struct SeenColumn final {
    std::string name;
    std::string type;
    /// In the batch.
    int index = 0;
};

/// Statements on the table of one stream; owns nothing, to be made where it is used. Everything but Remove runs in the caller's
/// transaction, so that what it knows is what the checkpoint speaks of.
class SeenKeys final {
 public:
    SeenKeys(SqlSession& session, const Dialect& dialect, const sdk::StreamId& stream);

    /// A resync is under way.
    absl::StatusOr<bool> Exist();
    /// With none seen; also where a resync was under way.
    absl::Status Begin(const std::vector<SeenColumn>& key);
    /// The key may have got wider types since.
    absl::Status Fit(const std::vector<SeenColumn>& key);
    /// All keys of `batch`: one that is gone is in the target no longer, whether it was seen or not.
    absl::Status Add(const std::vector<SeenColumn>& key, const sdk::Batch& batch);
    /// Deletes the rows of `target` whose keys were not seen; returns how many. The resync is over.
    absl::StatusOr<int64_t> EndWithout(const std::vector<SeenColumn>& key, const sdk::TableTarget& target);
    absl::Status Drop();

 private:
    [[nodiscard]] std::string Name() const { return dialect_.Qualified(table_); }

    SqlSession& session_;
    const Dialect& dialect_;
    const sdk::TableTarget table_;
};

}  // namespace millrace::sql
