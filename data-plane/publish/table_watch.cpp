#include "data-plane/publish/table_watch.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "base/status.h"

namespace millrace::publish {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

/// How long a table that was made, dropped or renamed at the source may go unnoticed.
constexpr seconds kListingInterval{10};
/// The stream waits for a listing: that of very many tables is made less often.
constexpr int kListingShare = 20;
/// So many are told of by name.
constexpr size_t kFewTables = 20;

/// What makes a table another one: name, oid, whether it has a key, and whether all of its changes come.
using TableIdentity = std::tuple<std::string, std::string, uint64_t, bool, uint64_t>;
using TableIdentities = std::set<TableIdentity>;

TableIdentity IdentityOf(const sdk::SourceTable& table) {
    return {table.schema, table.table, table.id, table.key.empty(), table.stream_entry};
}

TableIdentities IdentitiesOf(const std::vector<sdk::SourceTable>& tables) {
    TableIdentities all;
    for (const sdk::SourceTable& table : tables) {
        all.insert(IdentityOf(table));
    }
    return all;
}

std::string NamesIn(const std::vector<sdk::SourceTable>& tables, const std::vector<sdk::SourceTable>& without) {
    const TableIdentities others = IdentitiesOf(without);
    std::string text;
    size_t listed = 0;
    for (const sdk::SourceTable& table : tables) {
        if (!others.contains(IdentityOf(table)) && listed++ < kFewTables) {
            text += (text.empty() ? "" : ", ") + table.DisplayName();
        }
    }
    return listed > kFewTables ? text + " and " + std::to_string(listed - kFewTables) + " more" : text;
}

}  // namespace

TableWatch::TableWatch(Surroundings surroundings, uint64_t known_version)
    : surroundings_(surroundings), known_version_(known_version), last_listing_(steady_clock::now()) {}

absl::StatusOr<bool> TableWatch::Changed() {
    const bool uninterrupted = surroundings_.copies.IsNotToBeInterrupted();
    if (ResyncIsDue(uninterrupted)) {
        return true;
    }
    const auto now = steady_clock::now();
    if (!uninterrupted && surroundings_.tables.PostponedIsDue(now)) {
        return true;
    }
    if (now - last_listing_ < std::max<steady_clock::duration>(kListingInterval, kListingShare * listing_took_)) {
        return false;
    }
    ASSIGN_OR_RETURN(const std::vector<sdk::SourceTable> listed, surroundings_.source.ListTables(surroundings_.selection));
    last_listing_ = steady_clock::now();
    listing_took_ = last_listing_ - now;
    ASSIGN_OR_RETURN(const bool rewritten, LeaveRewritten(listed));
    if (rewritten) {
        return true;
    }
    // With none left there is nothing to go on with: what comes of the old ones is still to be read.
    if (uninterrupted || listed.empty() || IdentitiesOf(listed) == IdentitiesOf(surroundings_.tables.listed())) {
        return false;
    }
    RecordChange(listed);
    return true;
}

bool TableWatch::ResyncIsDue(bool uninterrupted) {
    TableSet& tables = surroundings_.tables;
    if (const uint64_t version = tables.wanted().version(); version != known_version_) {
        known_version_ = version;
        look_at_wanted_ = true;
    }
    if (!look_at_wanted_) {
        return false;
    }
    if (tables.ResyncWanted() || surroundings_.copies.IsInterruptedByWish()) {
        return true;
    }
    look_at_wanted_ = uninterrupted;
    return !uninterrupted && std::ranges::any_of(tables.listed(), [&](const sdk::SourceTable& table) {
        return tables.WantedAnew(table, tables.StateOf(table));
    });
}

absl::StatusOr<bool> TableWatch::LeaveRewritten(const std::vector<sdk::SourceTable>& tables) {
    bool left = false;
    for (const sdk::SourceTable& table : tables) {
        ASSIGN_OR_RETURN(const bool rewritten, IsRewritten(table, surroundings_.tables.StateOf(table)));
        left = left || rewritten;
    }
    return left;
}

absl::StatusOr<bool> TableWatch::IsRewritten(const sdk::SourceTable& table, TableState& state) {
    if (!state.published() || !state.schema_of_last || table.storage.empty() || state.source_table_id != table.id ||
        table.storage == state.schema_of_last->storage || table.storage == harmless_storage_[state.topic]) {
        return false;
    }
    ASSIGN_OR_RETURN(const sdk::SchemaPtr now, surroundings_.source.DescribeNow(table));
    if (now == nullptr) {
        return false;
    }
    std::string reason = surroundings_.source.WhyCopyAnew(*state.schema_of_last, *now);
    if (reason.empty()) {
        harmless_storage_[state.topic] = table.storage;
        return false;
    }
    RETURN_IF_ERROR(surroundings_.copies.Leave(
        {.table = &state, .reason = std::move(reason), .position = {surroundings_.writer.durable().end, 0}}));
    return true;
}

void TableWatch::RecordChange(const std::vector<sdk::SourceTable>& now) const {
    const std::vector<sdk::SourceTable>& before = surroundings_.tables.listed();
    surroundings_.recorder.Record(
        {.type = events::EventType::kTablesChanged,
         .before = NamesIn(before, now),
         .after = NamesIn(now, before),
         .message = "tables were made, dropped, renamed or keyed anew at the source, or left the publication",
         .position = PositionText(surroundings_.writer.durable().end)});
}

}  // namespace millrace::publish
