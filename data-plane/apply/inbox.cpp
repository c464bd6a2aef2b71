#include "data-plane/apply/inbox.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace millrace::apply {

int64_t Inbox::CostOf(const bus::Record& record) {
    return static_cast<int64_t>(record.key.size() + record.value.size() + sizeof(bus::Record)) +
           bus::kFetchedRecordOverhead;
}

void Inbox::Close() {
    std::vector<bus::Record> dropped;
    const std::lock_guard lock(mutex_);
    ++session_;
    open_ = false;
    dropped.swap(records_);
    error_ = absl::OkStatus();
    end_offset_ = -1;
    total_bytes_ -= unapplied_bytes_;
    unapplied_records_ = 0;
    unapplied_bytes_ = 0;
    untaken_bytes_ = 0;
}

uint64_t Inbox::session() const {
    const std::lock_guard lock(mutex_);
    return session_;
}

bool Inbox::Open(uint64_t session) {
    const std::lock_guard lock(mutex_);
    open_ = session == session_;
    return open_;
}

bool Inbox::Put(std::vector<bus::Record>& records) {
    const std::lock_guard lock(mutex_);
    if (!open_) {
        records.clear();
        return false;
    }
    int64_t bytes = 0;
    for (const bus::Record& record : records) {
        bytes += CostOf(record);
    }
    unapplied_records_ += static_cast<int64_t>(records.size());
    unapplied_bytes_ += bytes;
    untaken_bytes_ += bytes;
    total_bytes_ += bytes;
    std::move(records.begin(), records.end(), std::back_inserter(records_));
    records.clear();
    return true;
}

bool Inbox::PutEnd(int64_t offset) {
    const std::lock_guard lock(mutex_);
    if (!open_) {
        return false;
    }
    end_offset_ = offset;
    return unapplied_records_ == 0;
}

void Inbox::PutError(const absl::Status& status) {
    const std::lock_guard lock(mutex_);
    if (open_) {
        error_ = status;
    }
}

bool Inbox::Take(std::vector<bus::Record>& into) {
    const std::lock_guard lock(mutex_);
    if (records_.empty()) {
        return false;
    }
    if (into.empty()) {
        into.swap(records_);
    } else {
        std::move(records_.begin(), records_.end(), std::back_inserter(into));
        records_.clear();
    }
    untaken_bytes_ = 0;
    return true;
}

absl::Status Inbox::TakeError() {
    const std::lock_guard lock(mutex_);
    return std::exchange(error_, absl::OkStatus());
}

int64_t Inbox::MarkApplied(int64_t records, int64_t bytes, int64_t next_offset) {
    const std::lock_guard lock(mutex_);
    unapplied_records_ -= records;
    unapplied_bytes_ -= bytes;
    total_bytes_ -= bytes;
    return unapplied_records_ == 0 ? std::max(next_offset, end_offset_) : next_offset;
}

bool Inbox::at_end() const {
    const std::lock_guard lock(mutex_);
    return end_offset_ >= 0 && unapplied_records_ == 0;
}

int64_t Inbox::end_reached() const {
    const std::lock_guard lock(mutex_);
    return unapplied_records_ == 0 ? end_offset_ : -1;
}

int64_t Inbox::records() const {
    const std::lock_guard lock(mutex_);
    return unapplied_records_;
}

int64_t Inbox::bytes() const {
    const std::lock_guard lock(mutex_);
    return unapplied_bytes_;
}

int64_t Inbox::untaken_bytes() const {
    const std::lock_guard lock(mutex_);
    return untaken_bytes_;
}

int64_t Inbox::oldest_untaken_ms() const {
    const std::lock_guard lock(mutex_);
    return records_.empty() ? 0 : records_.front().timestamp_ms;
}

}  // namespace millrace::apply
