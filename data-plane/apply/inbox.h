/// Records on their way from the poll thread to a table's step, and the count of what is not applied yet.
/// Not for: backpressure decisions (consumer), folding.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "data-plane/bus/table_reader.h"

namespace millrace::apply {

/// Any thread. Records are taken only in an open *session*: a step that lets go of everything closes it, so
/// that nothing fetched for an older position can follow a newer one.
class Inbox final {
 public:
    /// Memory that a record costs while it waits.
    static int64_t CostOf(const bus::Record& record);

    /// `total_bytes`: shared by the tables of a consumer; this table's part is kept added to it.
    explicit Inbox(std::atomic<int64_t>& total_bytes) : total_bytes_(total_bytes) {}
    ~Inbox() { Close(); }
    Inbox(const Inbox&) = delete;
    Inbox& operator=(const Inbox&) = delete;

    /// Forgets everything, counts included; refuses records until the session that begins now is opened.
    void Close();
    [[nodiscard]] uint64_t session() const;
    /// False when another session has begun.
    bool Open(uint64_t session);

    /// False when closed; the records are dropped then. Empties `records`.
    bool Put(std::vector<bus::Record>& records);
    /// Everything below `offset` has been put. True when nothing is left to apply, so that `offset` is
    /// applied.
    bool PutEnd(int64_t offset);
    void PutError(const absl::Status& status);

    /// Appends what has come to `into`; false when nothing has.
    bool Take(std::vector<bus::Record>& into);
    absl::Status TakeError();
    /// Records of an applied batch; returns the offset below which everything is applied now.
    int64_t MarkApplied(int64_t records, int64_t bytes, int64_t next_offset);

    /// The end was reached and nothing is left to apply.
    [[nodiscard]] bool at_end() const;
    /// The end that was reached with nothing left to apply; -1 when there is something, or no end was reached.
    [[nodiscard]] int64_t end_reached() const;
    /// Put and not applied.
    [[nodiscard]] int64_t records() const;
    [[nodiscard]] int64_t bytes() const;
    /// Put and not taken: what backpressure looks at.
    [[nodiscard]] int64_t untaken_bytes() const;
    /// Kafka's time of the oldest record not taken; 0 without one.
    [[nodiscard]] int64_t oldest_untaken_ms() const;

 private:
    std::atomic<int64_t>& total_bytes_;
    mutable std::mutex mutex_;
    uint64_t session_ = 1;
    bool open_ = false;
    std::vector<bus::Record> records_;
    absl::Status error_;
    int64_t end_offset_ = -1;
    int64_t unapplied_records_ = 0;
    int64_t unapplied_bytes_ = 0;
    int64_t untaken_bytes_ = 0;
};

}  // namespace millrace::apply
