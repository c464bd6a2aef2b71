#include "data-plane/apply/memory_destination.h"

#include <set>
#include <utility>

#include "base/status.h"

namespace millrace::apply {

namespace {

using Key = std::vector<std::string>;

absl::Status Contract(const std::string& what) {
    return base::MakeError(absl::StatusCode::kInternal, "BAD_BATCH", what);
}

std::string KeyText(const sdk::Cell& cell) {
    return cell.is_value() ? "=" + std::string(cell.text()) : "null";
}

Key KeyOf(const sdk::TableSchema& schema, sdk::RowView row) {
    Key key;
    for (const int column : schema.KeyColumns()) {
        key.push_back(KeyText(row[static_cast<size_t>(column)]));
    }
    return key;
}

Key SourceKey(const sdk::Batch& batch, size_t i) {
    if (batch.rows[i].source_key < 0) {
        return KeyOf(*batch.schema, batch.Row(i));
    }
    Key key;
    for (const sdk::Cell& cell : batch.source_keys.at(static_cast<size_t>(batch.rows[i].source_key))) {
        key.push_back(KeyText(cell));
    }
    return key;
}

MemoryRow Resolve(const sdk::Batch& batch, size_t i, const MemoryTable& table, int64_t& holes) {
    const auto old = table.rows.find(SourceKey(batch, i));
    MemoryRow row;
    for (size_t c = 0; c < batch.schema->columns.size(); ++c) {
        const sdk::Cell& cell = batch.Row(i)[c];
        std::optional<std::string>& value = row[batch.schema->columns[c].name];
        if (cell.is_value()) {
            value = std::string(cell.text());
        } else if (cell.is_unchanged() && old != table.rows.end()) {
            const auto known = old->second.find(batch.schema->columns[c].name);
            value = known == old->second.end() ? std::nullopt : known->second;
        } else if (cell.is_unchanged()) {
            ++holes;
        }
    }
    return row;
}

absl::Status CheckBatch(const sdk::Batch& batch) {
    if (batch.cells.size() != batch.rows.size() * batch.schema->columns.size()) {
        return Contract("cells do not fit the rows");
    }
    std::set<Key> keys;
    for (size_t i = 0; i < batch.rows.size(); ++i) {
        const sdk::RowView row = batch.Row(i);
        bool unchanged = false;
        for (const sdk::Cell& cell : row) {
            unchanged = unchanged || cell.is_unchanged();
        }
        if (unchanged != (batch.rows[i].kind == sdk::BatchRow::Kind::kPartial)) {
            return Contract("unchanged cells and kind of a row do not agree");
        }
        if (batch.append && batch.rows[i].kind != sdk::BatchRow::Kind::kFull) {
            return Contract("a row to append is not full");
        }
        if (!batch.schema->append_only && !keys.insert(KeyOf(*batch.schema, row)).second) {
            return Contract("two rows with one key");
        }
    }
    return absl::OkStatus();
}

class MemoryWriter final : public sdk::TableWriter {
 public:
    MemoryWriter(MemoryStore& store, std::string topic, const MemoryDestination::Fault& fault)
        : store_(store), topic_(std::move(topic)), fault_(fault) {}

    absl::StatusOr<sdk::Checkpoint> TakeOver() override {
        if (fault_) {
            RETURN_IF_ERROR(fault_(MemoryDestination::Moment::kTakeOver, topic_, nullptr));
        }
        sdk::Checkpoint checkpoint;
        RETURN_IF_ERROR(store_.Transact(topic_, [&](MemoryTable& table) {
            table.known = true;
            epoch_ = ++table.checkpoint.epoch;
            checkpoint = table.checkpoint;
            return absl::OkStatus();
        }));
        return checkpoint;
    }

    absl::StatusOr<sdk::ApplyResult> Apply(const sdk::Batch& batch) override {
        if (fault_) {
            RETURN_IF_ERROR(fault_(MemoryDestination::Moment::kBeforeApply, topic_, &batch));
        }
        sdk::ApplyResult result;
        RETURN_IF_ERROR(
            store_.Transact(topic_, [&](MemoryTable& table) { return Commit(batch, table, result); }));
        if (fault_) {
            RETURN_IF_ERROR(fault_(MemoryDestination::Moment::kAfterCommit, topic_, &batch));
        }
        return result;
    }

 private:
    absl::Status Commit(const sdk::Batch& batch, MemoryTable& table, sdk::ApplyResult& result) const {
        if (table.checkpoint.epoch != epoch_) {
            return base::MakeError(absl::StatusCode::kAborted, "FENCED", "a newer epoch owns " + topic_);
        }
        if (batch.rewinds ? batch.next_offset == table.checkpoint.next_offset && batch.last == table.checkpoint.last
                          : batch.next_offset <= table.checkpoint.next_offset) {
            result.already_applied = true;
            return absl::OkStatus();
        }
        if (!batch.rewinds && batch.first_offset < table.checkpoint.next_offset) {
            return Contract("a batch begins before the checkpoint and ends after it");
        }
        ASSIGN_OR_RETURN(result, ApplyRows(batch, table));
        table.checkpoint.next_offset = batch.next_offset;
        table.checkpoint.last = batch.last;
        table.checkpoint.generation = batch.generation;
        result.dead_letters_standing = table.checkpoint.dead_letters;
        return absl::OkStatus();
    }

    MemoryStore& store_;
    std::string topic_;
    const MemoryDestination::Fault& fault_;
    uint64_t epoch_ = 0;
};

}  // namespace

absl::Status MemoryStore::Transact(const std::string& topic,
                                   const std::function<absl::Status(MemoryTable&)>& change) {
    const std::lock_guard lock(mutex_);
    return change(tables_[topic]);
}

MemoryTable MemoryStore::Get(const std::string& topic) {
    MemoryTable copy;
    Transact(topic, [&](MemoryTable& table) {
        copy = table;
        return absl::OkStatus();
    }).IgnoreError();
    return copy;
}

absl::StatusOr<std::unique_ptr<sdk::TableWriter>> MemoryDestination::OpenTable(const sdk::TableTarget&,
                                                                               const sdk::StreamId& stream) {
    return std::make_unique<MemoryWriter>(store_, stream.topic, fault_);
}

absl::StatusOr<sdk::ApplyResult> ApplyRows(const sdk::Batch& batch, MemoryTable& table) {
    RETURN_IF_ERROR(CheckBatch(batch));
    sdk::ApplyResult result;
    if (batch.truncate_first) {
        table.rows.clear();
        table.appended.clear();
        table.seen.reset();
    }
    if (batch.resync_begins) {
        table.seen.emplace();
    }
    for (size_t i = 0; i < batch.rows.size(); ++i) {
        if (batch.rows[i].fresh && (batch.rows[i].kind != sdk::BatchRow::Kind::kFull || table.rows.contains(KeyOf(*batch.schema, batch.Row(i))))) {
            return Contract("a row that is said to be fresh stands there, or is not full");
        }
    }
    std::vector<std::pair<Key, MemoryRow>> staged;
    for (size_t i = 0; i < batch.rows.size(); ++i) {
        if (batch.rows[i].kind != sdk::BatchRow::Kind::kGone) {
            staged.emplace_back(KeyOf(*batch.schema, batch.Row(i)), Resolve(batch, i, table, result.holes));
        }
    }
    for (size_t i = 0; !batch.append && i < batch.rows.size(); ++i) {
        result.rows_deleted += static_cast<int64_t>(table.rows.erase(KeyOf(*batch.schema, batch.Row(i))));
    }
    for (auto& [key, row] : staged) {
        if (batch.schema->append_only) {
            table.appended.push_back(std::move(row));
        } else if (!table.rows.emplace(key, std::move(row)).second) {
            return Contract("a row is appended whose key is there");
        }
        ++result.rows_written;
    }
    for (size_t i = 0; table.seen && i < batch.rows.size(); ++i) {
        table.seen->insert(KeyOf(*batch.schema, batch.Row(i)));
    }
    if (table.seen && batch.resync_ends) {
        result.rows_deleted += static_cast<int64_t>(
            std::erase_if(table.rows, [&](const auto& row) { return !table.seen->contains(row.first); }));
        table.seen.reset();
    }
    if (batch.resync_cancelled) {
        table.seen.reset();
    }
    ++table.batches;
    table.append_batches += batch.append ? 1 : 0;
    return result;
}

}  // namespace millrace::apply
