/// A source with a scripted log, for tests of the publisher: transactions with fixed positions, sent again
/// from the acknowledged one as a real source would. Not for: production code; it is linked into tests alone.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "connectors/sdk/source.h"

namespace millrace::publish {

/// What all sources of one test share: the log, the tables and what the publisher did. Thread-safe.
class ScriptedDatabase final {
 public:
    struct Change final {
        std::string table;
        sdk::Op op = sdk::Op::kInsert;
        std::string id;
        std::string value;
    };
    struct Transaction final {
        uint64_t commit = 0;
        uint64_t end = 0;
        std::vector<Change> changes;
    };

    explicit ScriptedDatabase(std::vector<std::string> tables) : tables_(std::move(tables)) {}

    /// Commits a transaction; returns its end.
    uint64_t Commit(std::vector<Change> changes) {
        const std::lock_guard lock(mutex_);
        const uint64_t commit = next_;
        next_ += 100;
        log_.push_back({commit, commit + 50, std::move(changes)});
        return commit + 50;
    }
    void AddTable(const std::string& name) {
        const std::lock_guard lock(mutex_);
        tables_.push_back(name);
    }
    /// Rows of the table get other values, of which the log says nothing.
    void Rewrite(const std::string& table) {
        const std::lock_guard lock(mutex_);
        storage_[table] += "'";
    }
    /// The connection breaks after `changes` more changes were handed over.
    void BreakAfter(int changes) {
        const std::lock_guard lock(mutex_);
        break_after_ = changes;
    }
    /// Before the next lock of a copy is given.
    void OnLock(std::function<void()> action) {
        const std::lock_guard lock(mutex_);
        on_lock_ = std::move(action);
    }
    void SetSlotTaken(bool taken) {
        const std::lock_guard lock(mutex_);
        slot_taken_ = taken;
    }
    [[nodiscard]] std::vector<uint64_t> acknowledged() const {
        const std::lock_guard lock(mutex_);
        return acknowledged_;
    }

 private:
    friend class ScriptedSource;

    mutable std::mutex mutex_;
    std::vector<std::string> tables_;
    std::vector<Transaction> log_;
    uint64_t next_ = 1000;
    uint64_t slot_ = 0;
    bool slot_taken_ = false;
    std::function<void()> on_lock_;
    int break_after_ = -1;
    std::vector<uint64_t> acknowledged_;
    std::map<std::string, std::string> storage_;
};

class ScriptedSource final : public sdk::Source {
 public:
    explicit ScriptedSource(ScriptedDatabase& database) : database_(database) {}

    sdk::Findings Preflight(const sdk::TableSelection&) override { return {}; }

    absl::StatusOr<std::vector<sdk::SourceTable>> ListTables(const sdk::TableSelection& selection) override {
        const std::lock_guard lock(database_.mutex_);
        std::vector<sdk::SourceTable> tables;
        for (const std::string& name : database_.tables_) {
            if (selection.Selects("public", name)) {
                tables.push_back({.schema = "public",
                                  .table = name,
                                  .key = {"id"},
                                  .storage = "files" + database_.storage_[name]});
            }
        }
        return tables;
    }

    absl::StatusOr<std::vector<std::vector<std::string>>> ListColumns(
        const std::vector<sdk::SourceTable>& tables) override {
        return std::vector<std::vector<std::string>>(tables.size(), {"id", "value"});
    }
    absl::StatusOr<sdk::SourceIdentity> Identify() override { return sdk::SourceIdentity{"scripted", 1}; }
    absl::Status Prepare(const std::vector<sdk::SourceTable>&) override { return absl::OkStatus(); }
    absl::StatusOr<bool> HasSlot() override {
        const std::lock_guard lock(database_.mutex_);
        return database_.slot_ != 0;
    }

    absl::Status LockCopy() override {
        std::function<void()> action;
        {
            const std::lock_guard lock(database_.mutex_);
            action = std::exchange(database_.on_lock_, {});
        }
        if (action) {
            action();
        }
        return absl::OkStatus();
    }

    absl::StatusOr<uint64_t> BeginCopy(bool new_slot, std::chrono::milliseconds) override {
        const std::lock_guard lock(database_.mutex_);
        copy_at_ = database_.next_;
        if (new_slot) {
            database_.slot_ = copy_at_;
        }
        return copy_at_;
    }

    absl::StatusOr<sdk::SchemaPtr> Describe(const sdk::SourceTable& table) override {
        return SchemaOf(table.table);
    }
    absl::StatusOr<sdk::SchemaPtr> DescribeNow(const sdk::SourceTable& table) override {
        return SchemaOf(table.table);
    }
    [[nodiscard]] std::string WhyCopyAnew(const sdk::TableSchema& before,
                                          const sdk::TableSchema& after) const override {
        return before.storage == after.storage ? "" : "its rows were rewritten";
    }

    absl::StatusOr<int64_t> CopyTable(const sdk::SourceTable& table, uint64_t first_seq,
                                      sdk::ChangeHandler& handler) override {
        std::vector<ScriptedDatabase::Change> rows;
        {
            const std::lock_guard lock(database_.mutex_);
            for (const auto& transaction : database_.log_) {
                for (const auto& change : transaction.changes) {
                    if (transaction.commit < copy_at_ && change.table == table.table) {
                        rows.push_back(change);
                    }
                }
            }
        }
        for (const auto& row : rows) {
            RETURN_IF_ERROR(Hand(row, sdk::Op::kRead, {copy_at_, first_seq++}, handler));
        }
        return static_cast<int64_t>(rows.size());
    }

    absl::Status EndCopy() override { return absl::OkStatus(); }

    absl::Status Start(uint64_t end) override {
        const std::lock_guard lock(database_.mutex_);
        if (database_.slot_taken_) {
            return base::MakeError(absl::StatusCode::kAborted, "SLOT_ACTIVE", "the slot is taken");
        }
        at_ = std::max(end, database_.slot_);
        return absl::OkStatus();
    }

    absl::StatusOr<int> Poll(sdk::ChangeHandler& handler, std::chrono::milliseconds, int) override {
        std::vector<ScriptedDatabase::Transaction> fresh;
        {
            const std::lock_guard lock(database_.mutex_);
            for (const auto& transaction : database_.log_) {
                // As a real source: whole transactions whose commit record begins at or after the position.
                if (transaction.commit >= at_) {
                    fresh.push_back(transaction);
                }
            }
        }
        int handled = 0;
        for (const auto& transaction : fresh) {
            uint64_t seq = 0;
            for (const auto& change : transaction.changes) {
                RETURN_IF_ERROR(CountDown());
                RETURN_IF_ERROR(Hand(change, change.op, {transaction.commit, seq++}, handler));
                ++handled;
            }
            RETURN_IF_ERROR(handler.OnCommit(transaction.commit, transaction.end, 1));
            at_ = transaction.end;
        }
        return handled;
    }

    void Acknowledge(uint64_t end) override {
        const std::lock_guard lock(database_.mutex_);
        database_.acknowledged_.push_back(end);
        database_.slot_ = std::max(database_.slot_, end);
    }
    absl::Status SendFeedback(bool) override { return absl::OkStatus(); }
    absl::StatusOr<uint64_t> CurrentPosition() override {
        const std::lock_guard lock(database_.mutex_);
        return database_.next_;
    }
    absl::Status Heartbeat() override { return absl::OkStatus(); }
    absl::StatusOr<sdk::RetainedLog> Retained() override { return sdk::RetainedLog{}; }
    absl::Status Remove() override { return absl::OkStatus(); }

 private:
    sdk::SchemaPtr SchemaOf(const std::string& table) {
        const std::lock_guard lock(database_.mutex_);
        auto schema = std::make_shared<sdk::TableSchema>();
        schema->source = "scripted";
        schema->schema = "public";
        schema->table = table;
        schema->columns = {{.name = "id", .source_type = "text", .nullable = false, .key_ordinal = 1},
                           {.name = "value", .source_type = "text"}};
        schema->id = sdk::ComputeSchemaId(*schema);
        schema->storage = "files" + database_.storage_[table];
        return schema;
    }

    absl::Status CountDown() {
        const std::lock_guard lock(database_.mutex_);
        if (database_.break_after_ == 0) {
            database_.break_after_ = -1;
            return base::MakeError(absl::StatusCode::kUnavailable, "NET_TCP",
                                   "the scripted connection broke");
        }
        if (database_.break_after_ > 0) {
            --database_.break_after_;
        }
        return absl::OkStatus();
    }

    absl::Status Hand(const ScriptedDatabase::Change& change, sdk::Op op, sdk::Position position,
                      sdk::ChangeHandler& handler) {
        const std::vector<sdk::Cell> row{sdk::Cell::Value(change.id), sdk::Cell::Value(change.value)};
        sdk::ChangeEvent event;
        event.op = op;
        event.schema = SchemaOf(change.table);
        event.position = position;
        event.commit_time_us = 1'700'000'000'000'000;
        (op == sdk::Op::kDelete ? event.before : event.after) = row;
        return handler.OnChange(event);
    }

    ScriptedDatabase& database_;
    uint64_t copy_at_ = 0;
    uint64_t at_ = 0;
};

}  // namespace millrace::publish
