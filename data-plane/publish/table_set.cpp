#include "data-plane/publish/table_set.h"

#include <algorithm>
#include <functional>
#include <set>

#include "base/log.h"
#include "base/status.h"
#include "base/text.h"
#include "data-plane/config/topic_name.h"

namespace millrace::publish {
namespace {

using std::chrono::steady_clock;

/// Until the next try to copy a table that could not be read.
constexpr std::chrono::seconds kPostponement{20};

}  // namespace

bool IsKeyedAnew(const sdk::SourceTable& table, const TableState& state) {
    return state.published() && state.schema_of_last && state.schema_of_last->append_only != table.key.empty();
}

bool IsLeftOut(const sdk::SourceTable& table, const TableState& state) {
    return state.published() && state.stream_entry != 0 && state.stream_entry != table.stream_entry;
}

bool RowsStay(const sdk::Source& source, const TableState& state, const sdk::TableSchema& now) {
    if (!state.schema_of_last || state.source_table_id != now.source_table_id || now.append_only) {
        return false;
    }
    const auto key_of = [](const sdk::TableSchema& schema) {
        std::vector<std::pair<std::string, std::string>> key;
        for (const int column : schema.KeyColumns()) {
            const sdk::Column& one = schema.columns[static_cast<size_t>(column)];
            key.emplace_back(one.name, one.source_type);
        }
        return key;
    };
    return key_of(*state.schema_of_last) == key_of(now) && source.WhyCopyAnew(*state.schema_of_last, now).empty();
}

TableSet::TableSet(const config::KafkaConfig& kafka, const config::PipelineConfig& pipeline, const WantedOverrides& wanted,
                   RefusedTopics& refused)
    : kafka_(kafka), pipeline_(pipeline), wanted_(wanted), refused_(refused) {}

absl::Status TableSet::List(sdk::Source& source) {
    ASSIGN_OR_RETURN(listed_, source.ListTables(pipeline_.selection));
    if (listed_.empty()) {
        return base::MakeError(absl::StatusCode::kFailedPrecondition, "TBL_MISSING",
                               "no table of the source matches the pipeline's table patterns",
                               "Change the pipeline's tables, or create them at the source");
    }
    std::stable_sort(listed_.begin(), listed_.end(),
                     [](const sdk::SourceTable& a, const sdk::SourceTable& b) { return a.bytes < b.bytes; });
    return absl::OkStatus();
}

absl::Status TableSet::ReadStreamEntries(sdk::Source& source) {
    const bool known = std::ranges::all_of(listed_, [this](const sdk::SourceTable& table) {
        return table.stream_entry != 0 && !IsLeftOut(table, StateOf(table));
    });
    if (!known) {
        ASSIGN_OR_RETURN(const std::vector<sdk::SourceTable> now, source.ListTables(pipeline_.selection));
        std::map<uint64_t, uint64_t> entries;
        for (const sdk::SourceTable& table : now) {
            entries[table.id] = table.stream_entry;
        }
        for (sdk::SourceTable& table : listed_) {
            table.stream_entry = entries[table.id];
        }
    }
    return absl::OkStatus();
}

TableState& TableSet::StateOf(const sdk::SourceTable& table) {
    const std::string topic = config::TableTopic(kafka_.topic_prefix, pipeline_.id, table.schema, table.table);
    TableState& state = control_.tables[topic];
    state.schema = table.schema;
    state.table = table.table;
    state.topic = topic;
    return state;
}

bool TableSet::WantedAnew(const sdk::SourceTable& table, const TableState& state) const {
    return state.column_policy != table.column_policy || IsKeyedAnew(table, state) || IsLeftOut(table, state) ||
           wanted_.ResyncOf(table.schema, table.table) > state.resync_counter;
}

bool TableSet::GoesOn(const sdk::SourceTable& table, const TableState& state) const {
    // Without a key there is no place to go on from.
    return state.backfill && !table.key.empty() && state.source_table_id == table.id && !WantedAnew(table, state);
}

std::vector<const sdk::SourceTable*> TableSet::ToCopy() {
    std::vector<const sdk::SourceTable*> missing;
    for (const sdk::SourceTable& table : listed_) {
        const TableState& state = StateOf(table);
        const bool another = state.source_table_id != 0 && table.id != 0 && state.source_table_id != table.id;
        if (another || WantedAnew(table, state) || (!state.copied && !state.held() && !refused_.contains(state.topic))) {
            missing.push_back(&table);
        }
    }
    return missing;
}

// Who reads the form debezium-json knows of no such marker.
bool TableSet::Stands(const sdk::SourceTable& table, const TableState& state) const {
    return state.stands && state.column_policy == table.column_policy && pipeline_.codec == config::Codec::kNative;
}

void TableSet::BeginCopy(const sdk::SourceTable& table, TableState& state) const {
    state.resync_counter = wanted_.ResyncOf(table.schema, table.table);
    state.column_policy = table.column_policy;
    state.stream_entry = table.stream_entry;
    state.Release();
}

void TableSet::Postpone(const TableState& table, const absl::Status& why) {
    postponed_[table.topic] = why;
    try_postponed_from_ = steady_clock::now() + kPostponement;
    base::LogWarning("a table's copy is put off",
                     {{"table", base::Concat(table.schema, ".", table.table)}, base::LogField(why)});
}

void TableSet::Delay(const TableState& table, const absl::Status& why) {
    delayed_[table.topic] = why;
    if (!why.ok()) {
        base::LogWarning("a table's copy waits", {{"table", base::Concat(table.schema, ".", table.table)}, base::LogField(why)});
    }
}

absl::Status TableSet::ForgetAll(TransactionWriter& writer, const events::Recorder& recorder) {
    for (auto& [topic, state] : control_.tables) {
        if (!state.published() && !state.held()) {
            continue;
        }
        if (state.held()) {
            recorder.Record({.type = events::EventType::kTableRecovered,
                             .schema = state.schema,
                             .table = state.table,
                             .message = "the table is published again",
                             .position = PositionText(writer.pending().end)});
        }
        state.Forget();
        state.Release();
        RETURN_IF_ERROR(writer.WriteTableState(state));
    }
    return absl::OkStatus();
}

absl::Status TableSet::ForgetLeft(TransactionWriter& writer) {
    std::set<std::string> selected;
    for (const sdk::SourceTable& table : listed_) {
        selected.insert(StateOf(table).topic);
    }
    for (auto& [topic, state] : control_.tables) {
        if ((state.published() || state.held()) && !selected.contains(topic)) {
            state.Forget();  // left the pipeline: a return means a new copy
            state.Release();
            RETURN_IF_ERROR(writer.WriteTableState(state));
        }
    }
    return absl::OkStatus();
}

absl::Status TableSet::HoldRefused(TransactionWriter& writer, const events::Recorder& recorder) {
    bool held = false;
    for (const sdk::SourceTable& table : listed_) {
        TableState& state = StateOf(table);
        if (const auto refused = refused_.find(state.topic); refused != refused_.end()) {
            // Only a resync, or other column rules, that are asked for from now on release it.
            state.column_policy = table.column_policy;
            state.resync_counter = wanted_.ResyncOf(table.schema, table.table);
            state.Hold(refused->second);
            RETURN_IF_ERROR(writer.WriteTableState(state));
            held = true;
        }
    }
    if (!held) {
        return absl::OkStatus();
    }
    RETURN_IF_ERROR(writer.Commit());
    for (const sdk::SourceTable& table : listed_) {
        if (const TableState& state = StateOf(table); refused_.erase(state.topic) > 0) {
            recorder.Record({.type = events::EventType::kTableHeld,
                             .schema = table.schema,
                             .table = table.table,
                             .message = state.held_error,
                             .position = PositionText(writer.durable().end)});
        }
    }
    refused_.clear();
    return absl::OkStatus();
}

absl::Status TableSet::NoteStreamEntries(TransactionWriter& writer) {
    for (const sdk::SourceTable& table : listed_) {
        if (TableState& state = StateOf(table); state.copied && state.stream_entry == 0 && table.stream_entry != 0) {
            state.stream_entry = table.stream_entry;
            RETURN_IF_ERROR(writer.WriteTableState(state));
        }
    }
    return absl::OkStatus();
}

void TableSet::ShowOn(FactsBoard& board) {
    std::vector<TableFacts> facts;
    for (const sdk::SourceTable& table : listed_) {
        const TableState& state = StateOf(table);
        facts.push_back({.schema = table.schema,
                         .table = table.table,
                         .topic = state.topic,
                         .append_only = table.key.empty(),
                         .copied = state.copied && control_.position.streaming,
                         .rows_copied = static_cast<int64_t>(state.rows),
                         .rows_estimated = table.estimated_rows,
                         .held = WhyNotPublished(state)});
        if (state.incomplete) {
            facts.back().backfill.state = BackfillFacts::State::kCancelled;
        }
    }
    board.Update([&](PublisherFacts& shown) { shown.tables = std::move(facts); });
}

absl::Status TableSet::WhyNotPublished(const TableState& state) const {
    if (state.held()) {
        return base::MakeError(absl::StatusCode::kFailedPrecondition, state.held_reason, state.held_error,
                               state.held_remedy);
    }
    for (const auto& reasons : {std::cref(postponed_), std::cref(delayed_)}) {
        const auto found = reasons.get().find(state.topic);
        if (!state.copied && found != reasons.get().end() && !found->second.ok()) {
            return found->second;
        }
    }
    return absl::OkStatus();
}

}  // namespace millrace::publish
