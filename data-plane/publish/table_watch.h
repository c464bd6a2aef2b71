/// Notices that the source has other tables than a session publishes, or other rows in them than it knows of. Not for: what
/// becomes of them (the next session).
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "data-plane/publish/copies.h"
#include "data-plane/publish/table_set.h"

namespace millrace::publish {

class TableWatch final {
 public:
    struct Surroundings final {
        sdk::Source& source;
        const sdk::TableSelection& selection;
        TableSet& tables;
        Copies& copies;
        const TransactionWriter& writer;
        const events::Recorder& recorder;
    };

    /// `known_version`: of the wanted overrides when the session began.
    TableWatch(Surroundings surroundings, uint64_t known_version);

    /// Whether a new session would publish other tables, or copy one that this one has not, and is not to wait for what this one
    /// reads. To be called often; asks the source now and then.
    absl::StatusOr<bool> Changed();
    /// The source is asked at the next call.
    void LookSoon() { last_listing_ = {}; }

 private:
    [[nodiscard]] bool ResyncIsDue(bool uninterrupted);
    /// Leaves what was rewritten at the source although no change of a row has told of it. Whether there is any.
    absl::StatusOr<bool> LeaveRewritten(const std::vector<sdk::SourceTable>& tables);
    absl::StatusOr<bool> IsRewritten(const sdk::SourceTable& table, TableState& state);
    void RecordChange(const std::vector<sdk::SourceTable>& now) const;

    const Surroundings surroundings_;
    uint64_t known_version_;
    bool look_at_wanted_ = false;
    std::chrono::steady_clock::time_point last_listing_;
    std::chrono::steady_clock::duration listing_took_{};
    /// Storage of tables, by topic, of which it is known that their rows need no copy.
    std::map<std::string, std::string> harmless_storage_;
};

}  // namespace millrace::publish
