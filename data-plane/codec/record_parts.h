/// A record that is too large for one Kafka record, as parts that follow each other, and the way back.
/// Not for: what a record means (event_codec), how much memory joined records may take (apply/record_joins).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace millrace::codec {

/// Kafka header that every part carries, and no whole record.
inline constexpr std::string_view kPartHeader = "millrace-part";
/// Largest record's value, in bytes.
inline constexpr std::size_t kMaxRecordBytes = std::size_t{256} << 20U;

/// Which part of a record: the header's text is "<index>/<count>/<bytes>".
struct RecordPart final {
    /// From 1 to `count`.
    uint64_t index = 0;
    uint64_t count = 0;
    /// Of the whole value.
    uint64_t bytes = 0;

    friend bool operator==(const RecordPart&, const RecordPart&) = default;
};

std::string PartHeader(const RecordPart& part);
/// DataLoss (BAD_RECORD): not a header of ours, or of a record beyond kMaxRecordBytes.
absl::StatusOr<RecordPart> ParsePartHeader(std::string_view header);

/// Number of parts of `part_bytes` that a value of `bytes` is split into; each but the last is full.
constexpr uint64_t PartCount(std::size_t bytes, std::size_t part_bytes) {
    return (bytes + part_bytes - 1) / part_bytes;
}

/// The loose part that `text` is, as the error of whoever wanted a record.
absl::Status LoosePart(std::string_view header);

/// Joins one topic's parts in the order in which they stand there. One thread.
class PartJoiner final {
 public:
    /// Takes the next part. DataLoss (BAD_RECORD): it does not follow; what was taken before is dropped.
    absl::Status Add(const RecordPart& part, std::string_view slice);
    /// No part is held.
    [[nodiscard]] bool empty() const { return taken_ == 0; }
    [[nodiscard]] bool complete() const { return taken_ > 0 && taken_ == whole_.count; }
    /// The value; the joiner is empty afterwards. Only when complete.
    std::string Take();
    void Reset();

 private:
    [[nodiscard]] bool Follows(const RecordPart& part, std::size_t slice) const;

    RecordPart whole_;
    std::string value_;
    std::size_t part_bytes_ = 0;
    uint64_t taken_ = 0;
};

}  // namespace millrace::codec
