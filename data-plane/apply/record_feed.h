/// Feeds the inboxes of a consumer's tables from Kafka: starts and stops topics, keeps memory within its
/// limits, reports what was applied. Not for: assignment (consumer), what an actor does with its records.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "data-plane/apply/assigned_tables.h"
#include "data-plane/apply/consumer_limits.h"
#include "data-plane/apply/record_joins.h"
#include "data-plane/bus/table_reader.h"

namespace millrace::apply {

/// Open, Poll and Forget by the poll thread; what TablePort declares by steps.
class RecordFeed final : public TablePort {
 public:
    /// `tables` is looked at from Poll on; it may be younger than the feed.
    RecordFeed(AssignedTables& tables, WorkerPool& pool, ConsumerLimits limits)
        : tables_(tables), pool_(pool), limits_(limits), joins_(limits.split.value()) {}

    absl::Status Open(const config::KafkaConfig& kafka, const std::string& applied_group);

    /// Delivers what has come; waits up to some milliseconds for it.
    void Poll();
    /// The topic is about to be given away.
    void Forget(const std::string& topic);

    /// To be shared by the inboxes.
    [[nodiscard]] std::atomic<int64_t>& total_bytes() { return total_bytes_; }

    void Subscribe(TableActor& actor, int64_t offset, uint64_t session) override;
    void Unsubscribe(TableActor& actor) override;
    void CommitApplied(const std::string& topic, int64_t offset) override;
    [[nodiscard]] bool UnderPressure() const override { return pressure_ || joins_.crowded(); }

 private:
    /// What a step wants of the reader; carried out between two polls, so that no record fetched for an older
    /// position can come after it.
    struct Command final {
        uint64_t actor_id;
        std::string topic;
        /// None: stop delivering.
        std::optional<int64_t> offset;
        uint64_t session;
    };

    void RunCommands();
    void Carry(const Command& command);
    void Dispatch(std::vector<bus::TopicEvent> events);
    void TakeRecord(AssignedTables::Table& table, const std::string& topic, bus::Record& record);
    void WaitForRoom(AssignedTables::Table& table, const std::string& topic);
    void ReadThoseWithRoom();
    /// Memory that counts against the limit of all tables: joined records have a budget of their own.
    [[nodiscard]] int64_t CountedBytes() const { return total_bytes_ - joins_.handed_on(); }
    void WakeHolders();
    void DeliverRun(AssignedTables::Table& table, const std::string& topic);
    void Handle(AssignedTables::Table& table, bus::TopicEvent& event);
    /// `parts`: 1 to stop reading, 2 to go on only once half of the room is free.
    [[nodiscard]] bool IsFull(const Inbox& inbox, int64_t parts) const;
    void PauseFullTable(AssignedTables::Table& table, const std::string& topic);
    void ResumeTables();

    AssignedTables& tables_;
    WorkerPool& pool_;
    const ConsumerLimits limits_;
    std::unique_ptr<bus::TableReader> reader_;
    std::atomic<int64_t> total_bytes_{0};
    std::atomic<bool> pressure_{false};
    RecordJoins joins_;
    /// Topics that are paused for want of room.
    std::set<std::string> full_;
    /// Records of one topic in a row.
    std::vector<bus::Record> run_;

    std::mutex command_mutex_;
    std::vector<Command> commands_;

    std::mutex commit_mutex_;
    std::unordered_map<std::string, int64_t> committed_;
};

}  // namespace millrace::apply
