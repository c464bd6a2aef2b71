#include "data-plane/apply/record_feed.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/status.h"

namespace millrace::apply {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kIdlePoll{20};
/// With a table waiting for room in its inbox.
constexpr milliseconds kBusyPoll{2};
/// Few enough that one poll cannot pass the memory limits by much.
constexpr int kEventsPerPoll = 500;
constexpr int kEventsUnderPressure = 50;
/// Of the limit of all tables: nothing at all is read above it, whoever has room.
constexpr int kHardLimit = 2;
constexpr base::ByteCount kLeastShare = base::ByteCount::KiB(256);

}  // namespace

absl::Status RecordFeed::Open(const config::KafkaConfig& kafka, const std::string& applied_group) {
    ASSIGN_OR_RETURN(reader_, bus::TableReader::Create(kafka, applied_group));
    return absl::OkStatus();
}

void RecordFeed::Poll() {
    RunCommands();
    ReadThoseWithRoom();
    if (CountedBytes() > limits_.total.value() * kHardLimit) {
        std::this_thread::sleep_for(kBusyPoll);
    } else {
        Dispatch(reader_->Poll(full_.empty() ? kIdlePoll : kBusyPoll,
                               pressure_ ? kEventsUnderPressure : kEventsPerPoll));
    }
    ResumeTables();
}

void RecordFeed::Forget(const std::string& topic) {
    AssignedTables::Table* table = tables_.Find(topic);
    if (table != nullptr && std::exchange(table->added, false)) {
        if (absl::Status status = reader_->Remove(topic); !status.ok()) {
            base::LogWarning("a table's topic is still read", {{"topic", topic}, base::LogField(status)});
        }
    }
    full_.erase(topic);
    joins_.Forget(topic);
}

void RecordFeed::Subscribe(TableActor& actor, int64_t offset, uint64_t session) {
    const std::lock_guard lock(command_mutex_);
    commands_.push_back({actor.id(), actor.topic(), offset, session});
}

void RecordFeed::Unsubscribe(TableActor& actor) {
    const std::lock_guard lock(command_mutex_);
    commands_.push_back({actor.id(), actor.topic(), std::nullopt, 0});
}

void RecordFeed::RunCommands() {
    std::vector<Command> todo;
    {
        const std::lock_guard lock(command_mutex_);
        todo.swap(commands_);
    }
    for (const Command& command : todo) {
        Carry(command);
    }
}

void RecordFeed::Carry(const Command& command) {
    AssignedTables::Table* table = tables_.Find(command.topic);
    if (table == nullptr || table->actor->id() != command.actor_id) {
        return;
    }
    absl::Status status;
    if (std::exchange(table->added, false)) {
        status = reader_->Remove(command.topic);
    }
    table->paused = false;
    full_.erase(command.topic);
    joins_.Forget(command.topic);
    if (!command.offset || !table->actor->inbox().Open(command.session)) {
        return;
    }
    {
        const std::lock_guard lock(commit_mutex_);
        committed_.erase(command.topic);
    }
    if (status.ok()) {
        status = reader_->Add(command.topic, *command.offset);
    }
    table->added = status.ok();
    if (!status.ok()) {
        table->actor->inbox().PutError(status);
        pool_.Wake(*table->actor);
    }
}

void RecordFeed::Dispatch(std::vector<bus::TopicEvent> events) {
    AssignedTables::Table* table = nullptr;
    std::string topic;
    for (bus::TopicEvent& event : events) {
        if (table == nullptr || event.topic != topic) {
            if (table != nullptr) {
                DeliverRun(*table, topic);
            }
            topic = std::move(event.topic);
            table = tables_.Find(topic);
            if (table == nullptr) {
                continue;
            }
            event.topic = topic;
        }
        if (event.kind == bus::TopicEvent::Kind::kRecord) {
            TakeRecord(*table, topic, event.record);
            continue;
        }
        DeliverRun(*table, topic);
        Handle(*table, event);
    }
    if (table != nullptr) {
        DeliverRun(*table, topic);
    }
}

void RecordFeed::TakeRecord(AssignedTables::Table& table, const std::string& topic, bus::Record& record) {
    if (joins_.crowded() && joins_.Waits(topic)) {
        return;  // comes again once there is room for the record that it waits with
    }
    switch (joins_.Take(topic, record)) {
        case RecordJoins::Outcome::kWhole:
            run_.push_back(std::move(record));
            break;
        case RecordJoins::Outcome::kMore:
            break;
        case RecordJoins::Outcome::kNoRoom:
            DeliverRun(table, topic);
            WaitForRoom(table, topic);
            break;
    }
}

void RecordFeed::WaitForRoom(AssignedTables::Table& table, const std::string& topic) {
    if (absl::Status status = reader_->Remove(topic); !status.ok()) {
        base::LogWarning("a table's topic is still read", {{"topic", topic}, base::LogField(status)});
    }
    table.paused = false;
    full_.erase(topic);
    WakeHolders();
}

void RecordFeed::ReadThoseWithRoom() {
    while (const auto next = joins_.NextWithRoom()) {
        const auto& [topic, offset] = *next;
        if (absl::Status status = reader_->Add(topic, offset); !status.ok()) {
            joins_.Forget(topic);
            TableActor& actor = *tables_.Find(topic)->actor;
            actor.inbox().PutError(status);
            pool_.Wake(actor);
        }
    }
}

void RecordFeed::WakeHolders() {
    tables_.ForAll([this](TableActor& actor) {
        if (actor.inbox().records() > 0) {
            pool_.Wake(actor);
        }
    });
}

void RecordFeed::DeliverRun(AssignedTables::Table& table, const std::string& topic) {
    if (run_.empty()) {
        return;
    }
    if (table.actor->inbox().Put(run_)) {
        pool_.Wake(*table.actor);
        PauseFullTable(table, topic);
    }
}

void RecordFeed::Handle(AssignedTables::Table& table, bus::TopicEvent& event) {
    TableActor& actor = *table.actor;
    const std::string& topic = actor.topic();
    if (event.kind == bus::TopicEvent::Kind::kError) {
        actor.inbox().PutError(event.status);
        pool_.Wake(actor);
        return;
    }
    if (joins_.Unfinished(topic)) {
        return;  // it is not the end while a record waits or is put together
    }
    if (actor.inbox().PutEnd(event.record.offset)) {
        CommitApplied(actor.topic(), event.record.offset);
    }
    if (actor.awaits_end()) {
        pool_.Wake(actor);
    }
}

bool RecordFeed::IsFull(const Inbox& inbox, int64_t parts) const {
    if (inbox.untaken_bytes() > limits_.table.value() / parts) {
        return true;
    }
    // Each table keeps a share of its own, so that those which are stuck do not stop the others.
    const int64_t share = limits_.total.value() / static_cast<int64_t>(tables_.size());
    return pressure_ && inbox.bytes() > std::max(kLeastShare.value(), share) / parts;
}

void RecordFeed::PauseFullTable(AssignedTables::Table& table, const std::string& topic) {
    if (CountedBytes() > limits_.total.value() && !pressure_.exchange(true)) {
        WakeHolders();
    }
    if (table.paused || !IsFull(table.actor->inbox(), 1)) {
        return;
    }
    if (absl::Status status = reader_->Pause(topic); !status.ok()) {
        base::LogWarning("a table's topic cannot be paused", {{"topic", topic}, base::LogField(status)});
        return;
    }
    table.paused = true;
    full_.insert(topic);
}

void RecordFeed::ResumeTables() {
    if (pressure_ && CountedBytes() <= limits_.total.value() / 4 * 3) {
        pressure_ = false;
    }
    std::erase_if(full_, [this](const std::string& topic) {
        AssignedTables::Table* table = tables_.Find(topic);
        if (IsFull(table->actor->inbox(), 2)) {
            return false;
        }
        if (absl::Status status = reader_->Resume(topic); !status.ok()) {
            base::LogWarning("a table's topic cannot be resumed yet",
                             {{"topic", topic}, base::LogField(status)});
            return false;
        }
        table->paused = false;
        return true;
    });
}

void RecordFeed::CommitApplied(const std::string& topic, int64_t offset) {
    // The poll thread (at the end) and a step (after a batch) may both be here: the offset never goes back.
    const std::lock_guard lock(commit_mutex_);
    const auto [at, fresh] = committed_.try_emplace(topic, offset);
    if (fresh || at->second < offset) {
        at->second = offset;
        reader_->CommitApplied(topic, offset);
    }
}

}  // namespace millrace::apply
