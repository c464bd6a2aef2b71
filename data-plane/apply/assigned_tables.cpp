#include "data-plane/apply/assigned_tables.h"

#include <utility>

namespace millrace::apply {

AssignedTables::~AssignedTables() {
    Remove(Topics(), TimePoint());
    for (const auto& actor : leaving_) {
        while (!pool_.Retire(*actor, std::chrono::steady_clock::now() + std::chrono::hours(1))) {
        }
    }
}

AssignedTables::Table* AssignedTables::Find(const std::string& topic) {
    const auto found = tables_.find(topic);
    return found == tables_.end() ? nullptr : &found->second;
}

size_t AssignedTables::size() const {
    const std::lock_guard lock(mutex_);
    return tables_.size();
}

AssignedTables::Table& AssignedTables::Insert(std::unique_ptr<TableActor> actor) {
    const std::lock_guard lock(mutex_);
    Table& table = tables_[actor->topic()];
    table.actor = std::move(actor);
    return table;
}

void AssignedTables::Remove(const std::vector<std::string>& topics, TimePoint deadline) {
    std::vector<std::unique_ptr<TableActor>> removed;
    {
        const std::lock_guard lock(mutex_);
        for (const std::string& topic : topics) {
            if (auto node = tables_.extract(topic)) {
                removed.push_back(std::move(node.mapped().actor));
            }
        }
    }
    for (const auto& actor : removed) {
        actor->RequestStop();
        actor->ReportLag();
    }
    for (auto& actor : removed) {
        if (!pool_.Retire(*actor, deadline)) {
            leaving_.push_back(std::move(actor));
        }
    }
}

std::vector<std::string> AssignedTables::Topics() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> topics;
    for (const auto& [topic, table] : tables_) {
        topics.push_back(topic);
    }
    return topics;
}

void AssignedTables::ForAll(const std::function<void(TableActor&)>& visit) const {
    const std::lock_guard lock(mutex_);
    for (const auto& [topic, table] : tables_) {
        visit(*table.actor);
    }
}

bool AssignedTables::Sweep() {
    std::erase_if(leaving_, [this](const auto& actor) { return pool_.Retire(*actor, TimePoint()); });
    return leaving_.empty();
}

}  // namespace millrace::apply
