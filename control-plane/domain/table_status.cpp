#include "control-plane/domain/table_status.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace millrace::domain {
namespace {

struct Merged {
    v1::TableStatus owned;
    absl::Time owned_at = absl::InfinitePast();
    bool has_owner = false;
    v1::TableStatus published;
    bool published_now = false;
    /// The publisher's entry of a table that it holds: what it holds never reaches the consumer.
    std::optional<v1::TableStatus> held;
    int64_t rows_copied = 0;
    int64_t rows_estimated = 0;
    std::optional<v1::BackfillStatus> backfill;
    /// The publisher reads its rows still, whatever its owner has applied.
    bool copying = false;
};

/// Whether the entry comes from the consumer that applies the table, not from a publisher that only knows of
/// it.
bool IsFromOwner(const v1::TableStatus& table, const WorkerReport& worker) {
    const bool idle = table.state() == v1::TableStatus::STATE_WAITING ||
                      table.state() == v1::TableStatus::STATE_UNSPECIFIED;
    if (idle || !ActsAsConsumer(worker)) {
        return false;
    }
    // A publisher's entry of a first copy names no worker.
    return table.worker_id().empty() ? table.state() != v1::TableStatus::STATE_COPYING
                                     : table.worker_id() == worker.worker_id;
}

void Take(const v1::TableStatus& table, const WorkerReport& worker, bool fresh, Merged& merged) {
    merged.rows_copied = std::max(merged.rows_copied, table.rows_copied());
    merged.rows_estimated = std::max(merged.rows_estimated, table.rows_estimated());
    if (table.has_backfill() && fresh) {
        merged.backfill = table.backfill();
    }
    if (table.publisher_holds()) {
        if (fresh) {
            merged.held = table;
        }
        return;
    }
    if (!IsFromOwner(table, worker)) {
        merged.published = table;
        merged.published_now = merged.published_now || fresh;
        merged.copying = merged.copying || (fresh && table.state() == v1::TableStatus::STATE_COPYING);
        return;
    }
    if (!merged.has_owner || worker.facts_at > merged.owned_at) {
        merged.owned = table;
        merged.owned.set_worker_id(worker.worker_id);
        merged.owned_at = worker.facts_at;
        merged.has_owner = true;
    }
}

v1::TableStatus Resolve(Merged merged, absl::Time fresh_after) {
    v1::TableStatus table;
    if (merged.held) {
        table = *std::move(merged.held);
    } else if (merged.has_owner && merged.owned_at >= fresh_after) {
        table = std::move(merged.owned);
    } else if (merged.published_now) {
        table = std::move(merged.published);
        table.clear_worker_id();
        if (table.state() != v1::TableStatus::STATE_COPYING) {
            table.set_state(v1::TableStatus::STATE_WAITING);
        }
    } else {
        table = std::move(merged.has_owner ? merged.owned : merged.published);
        table.set_state(v1::TableStatus::STATE_UNKNOWN);
    }
    if (merged.copying && table.state() == v1::TableStatus::STATE_LIVE) {
        table.set_state(v1::TableStatus::STATE_COPYING);
    }
    table.clear_backfill();
    if (merged.backfill) {
        *table.mutable_backfill() = *std::move(merged.backfill);
    }
    table.set_rows_copied(std::max(table.rows_copied(), merged.rows_copied));
    table.set_rows_estimated(std::max(table.rows_estimated(), merged.rows_estimated));
    return table;
}

}  // namespace

std::vector<v1::TableStatus> MergeTables(const std::vector<WorkerReport>& workers, absl::Time fresh_after) {
    std::map<std::pair<std::string, std::string>, Merged> tables;
    for (const WorkerReport& worker : workers) {
        if (!worker.facts) {
            continue;
        }
        for (const v1::TableStatus& table : worker.facts->tables()) {
            Take(table, worker, worker.facts_at >= fresh_after, tables[{table.schema(), table.table()}]);
        }
    }
    std::vector<v1::TableStatus> result;
    for (auto& [name, merged] : tables) {
        result.push_back(Resolve(std::move(merged), fresh_after));
        result.back().set_schema(name.first);
        result.back().set_table(name.second);
    }
    return result;
}

}  // namespace millrace::domain
