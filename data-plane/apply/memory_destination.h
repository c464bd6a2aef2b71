/// A destination that works, in memory, for tests: fence, truncate, resolve, delete, insert and checkpoint as
/// one step, and strict about what a batch may hold. Not for: anything but tests.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "connectors/sdk/destination.h"

namespace millrace::apply {

using MemoryRow = std::map<std::string, std::optional<std::string>>;

struct MemoryTable final {
    bool known = false;
    sdk::Checkpoint checkpoint;
    std::map<std::vector<std::string>, MemoryRow> rows;
    /// Of append-only tables.
    std::vector<MemoryRow> appended;
    /// While a resync is under way: the keys that came since.
    std::optional<std::set<std::vector<std::string>>> seen;
    int64_t batches = 0;
    int64_t append_batches = 0;
};

/// What several destinations of one pipeline write to. Any thread.
class MemoryStore {
 public:
    virtual ~MemoryStore() = default;
    /// Runs `change` on the table of `topic` alone; what it did is kept when it returns OK.
    virtual absl::Status Transact(const std::string& topic,
                                  const std::function<absl::Status(MemoryTable&)>& change);
    [[nodiscard]] MemoryTable Get(const std::string& topic);

 protected:
    std::mutex mutex_;
    std::map<std::string, MemoryTable> tables_;
};

class MemoryDestination final : public sdk::Destination {
 public:
    enum class Moment { kTakeOver, kBeforeApply, kAfterCommit };
    /// An error at `moment` is returned instead of the result; after kAfterCommit the batch has been applied
    /// all the same.
    using Fault =
        std::function<absl::Status(Moment moment, const std::string& topic, const sdk::Batch* batch)>;

    explicit MemoryDestination(MemoryStore& store, sdk::FlushDefaults defaults = {}, Fault fault = {})
        : store_(store), defaults_(defaults), fault_(std::move(fault)) {}

    sdk::Findings Preflight(const sdk::StreamId&, const std::vector<sdk::TableTarget>&) override {
        return {};
    }
    absl::StatusOr<std::unique_ptr<sdk::TableWriter>> OpenTable(const sdk::TableTarget& target,
                                                                const sdk::StreamId& stream) override;
    sdk::FlushDefaults flush_defaults() const override { return defaults_; }
    absl::Status Remove(const std::string&) override { return absl::OkStatus(); }

 private:
    MemoryStore& store_;
    sdk::FlushDefaults defaults_;
    Fault fault_;
};

/// Applies the rows of `batch` to `table` (without fence and checkpoint). Internal when the batch breaks its
/// contract.
absl::StatusOr<sdk::ApplyResult> ApplyRows(const sdk::Batch& batch, MemoryTable& table);

}  // namespace millrace::apply
