// What the verbs want of backfills, and what is told of them.
#include <algorithm>
#include <map>
#include <utility>

#include "base/status.h"
#include "base/text.h"
#include "data-plane/publish/copies.h"

namespace millrace::publish {

using events::EventType;

size_t Copies::NextInQueue() const {
    size_t best = queue_.size();
    int32_t highest = 0;
    for (size_t i = 0; i < queue_.size(); ++i) {
        const config::TableOverride wanted = surroundings_.tables.wanted().Of(queue_[i]->schema, queue_[i]->table);
        const bool cancelled = cancelled_in_queue_.contains(queue_[i]);
        if (cancelled) {
            return i;
        }
        if (!wanted.backfill_paused && (best == queue_.size() || wanted.backfill_priority > highest)) {
            best = i;
            highest = wanted.backfill_priority;
        }
    }
    return best;
}

absl::Status Copies::TakeOrders() {
    const uint64_t version = surroundings_.tables.wanted().version();
    for (const config::TableOverride& wanted : surroundings_.tables.wanted().All()) {
        RETURN_IF_ERROR(TakeOrder(wanted));
    }
    orders_taken_ = version;
    ShowQueue();
    return absl::OkStatus();
}

absl::Status Copies::TakeOrder(const config::TableOverride& wanted) {
    const std::vector<sdk::SourceTable>& listed = surroundings_.tables.listed();
    const auto found = std::ranges::find_if(listed, [&](const sdk::SourceTable& table) {
        return table.schema == wanted.schema && table.table == wanted.table;
    });
    if (found == listed.end()) {
        return absl::OkStatus();
    }
    TableState& state = surroundings_.tables.StateOf(*found);
    for (const auto& backfill : going_on_) {
        if (&backfill->state() == &state) {
            backfill->Pause(wanted.backfill_paused);
        }
    }
    if (wanted.backfill_cancel_counter > state.cancel_counter) {
        state.cancel_counter = wanted.backfill_cancel_counter;
        RETURN_IF_ERROR(TakeCancel(*found));
    }
    if (wanted.backfill_counter > state.chosen_counter && state.copied && !state.backfill) {
        state.chosen_counter = wanted.backfill_counter;
        RETURN_IF_ERROR(Choose(*found, wanted));
    }
    return absl::OkStatus();
}

absl::Status Copies::TakeCancel(const sdk::SourceTable& table) {
    TableState& state = surroundings_.tables.StateOf(table);
    if ((&table == opening_for_ && !opening_another_) || std::ranges::find(queue_, &table) != queue_.end()) {
        cancelled_in_queue_.insert(&table);
    }
    for (const auto& backfill : going_on_) {
        if (&backfill->state() == &state) {
            return backfill->Cancel();
        }
    }
    return surroundings_.writer.WriteTableState(state);
}

absl::Status Copies::Choose(const sdk::SourceTable& table, const config::TableOverride& wanted) {
    TableState& state = surroundings_.tables.StateOf(table);
    ASSIGN_OR_RETURN(const bool readable, surroundings_.source.ReadsChunks(table));
    const bool opened = !wanted.backfill_where.empty() || !wanted.backfill_keys.empty();
    const bool fits = opened && std::ranges::all_of(wanted.backfill_keys, [&](const auto& key) { return key.size() == table.key.size(); });
    if (!readable || table.key.empty() || !fits) {
        RecordOf(state, EventType::kTableBackfill,
                 !opened    ? "no chosen rows are read: the choice is not sealed to this data plane's key"
                 : readable && !table.key.empty() ? base::Concat("no chosen rows are read: a key of the table has ", table.key.size(), " cells")
                            : "no chosen rows are read: the table cannot be read by its key",
                 surroundings_.writer.pending().end);
        return surroundings_.writer.WriteTableState(state);
    }
    state.backfill = BackfillState{.ranges = std::vector<backfill::KeyRange>(wanted.backfill_where.empty() ? 0 : 1),
                                   .repairs = wanted.backfill_keys,
                                   .chosen = true,
                                   .where = wanted.backfill_where};
    queue_.push_back(&table);
    return surroundings_.writer.WriteTableState(state);
}

absl::Status Copies::GiveUp(TableBackfill& backfill, const std::string& why) {
    RecordOf(backfill.state(), EventType::kTableBackfill, base::Concat("the chosen rows cannot be read: ", why),
             surroundings_.writer.pending().end);
    return backfill.Cancel();
}

void Copies::ReportOn(base::Metrics& metrics, const std::string& pipeline) const {
    for (const auto& backfill : going_on_) {
        const BackfillFacts& facts = backfill->facts();
        const base::Labels labels{{"pipeline", pipeline}, {"table", backfill->table().DisplayName()}};
        const auto set = [&](const char* name, const char* help, double value) {
            metrics.GetGauge(name, help, labels).Set(value);
        };
        set("millrace_backfill_rows", "Rows of the table that its backfill has read", static_cast<double>(facts.rows));
        set("millrace_backfill_estimated_rows", "Rows that the source believes the table to have",
            static_cast<double>(backfill->table().estimated_rows));
        set("millrace_backfill_bytes", "Bytes of rows that its backfill has read", static_cast<double>(facts.bytes));
        set("millrace_backfill_chunks", "Chunks that its backfill has read", static_cast<double>(facts.chunks));
        set("millrace_backfill_connections", "Connections by which the table's rows are read",
            static_cast<double>(backfill->readers()));
        set("millrace_backfill_rows_per_second", "Rows that its backfill read a second lately", facts.rows_per_second);
        set("millrace_backfill_remaining_seconds", "Until its end at the most, if it goes on as it does; 0 = unknown",
            facts.remaining ? static_cast<double>(facts.remaining->second.count()) : 0);
    }
}

void Copies::ShowQueue() {
    std::map<std::string, BackfillFacts> waiting;
    for (const sdk::SourceTable* table : queue_) {
        const TableState& state = surroundings_.tables.StateOf(*table);
        BackfillFacts& facts = waiting[state.topic];
        facts = state.backfill ? FactsOf(*state.backfill) : BackfillFacts();
        facts.state = surroundings_.tables.wanted().Of(table->schema, table->table).backfill_paused
                          ? BackfillFacts::State::kPaused
                          : BackfillFacts::State::kQueued;
    }
    surroundings_.board.Update([&](PublisherFacts& facts) {
        for (TableFacts& table : facts.tables) {
            if (const auto found = waiting.find(table.topic); found != waiting.end()) {
                table.backfill = found->second;
            }
        }
    });
}

}  // namespace millrace::publish
