/// The tables that a consumer has now, and those it has given away whose last batch is still in flight.
/// Not for: what an actor does, Kafka.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "data-plane/apply/table_actor.h"
#include "data-plane/apply/worker_pool.h"

namespace millrace::apply {

/// Changed by one thread (which alone may use Find); ForAll, Topics and size from any.
class AssignedTables final {
 public:
    struct Table final {
        std::unique_ptr<TableActor> actor;
        /// The reader delivers it.
        bool added = false;
        /// The reader does not deliver it until its inbox has room again.
        bool paused = false;
    };

    explicit AssignedTables(WorkerPool& pool) : pool_(pool) {}
    /// Waits for batches in flight, however long.
    ~AssignedTables();

    /// Null when the topic is not assigned.
    Table* Find(const std::string& topic);
    Table& Insert(std::unique_ptr<TableActor> actor);
    /// Stops `topics`; batches in flight are awaited until `deadline`, those that are not over then end by
    /// themselves.
    void Remove(const std::vector<std::string>& topics, TimePoint deadline);
    [[nodiscard]] std::vector<std::string> Topics() const;
    [[nodiscard]] size_t size() const;

    void ForAll(const std::function<void(TableActor&)>& visit) const;
    /// Lets go of given-away tables whose batch is over; true when none is left.
    bool Sweep();

 private:
    WorkerPool& pool_;
    mutable std::mutex mutex_;
    std::map<std::string, Table> tables_;
    std::vector<std::unique_ptr<TableActor>> leaving_;
};

}  // namespace millrace::apply
