/// Several small changes of one table in one Kafka record (ChangePack of proto/millrace/v1/change_event.proto), and the way
/// back. Not for: what a change means (event_codec), which changes may share a record (publish/transaction_writer).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace millrace::codec {

/// A pack is closed before its value passes this.
inline constexpr std::size_t kMaxPackBytes = std::size_t{32} << 10U;

/// Appends an encoded ChangeRecord to the value of a pack.
void AppendToPack(std::string_view change, std::string& pack);

/// Goes through the changes of a record's value: those of a pack, or the value itself when it is none. The views live as
/// long as the value.
class PackReader final {
 public:
    explicit PackReader(std::string_view value);

    /// False at the end, and where the bytes are no pack any more (see status).
    bool Next(std::string_view& change);
    /// DataLoss (BAD_RECORD) once Next has met bytes that are none of a pack.
    [[nodiscard]] const absl::Status& status() const { return status_; }
    /// Nothing is left after the change that Next gave last.
    [[nodiscard]] bool done() const { return left_.empty(); }

 private:
    std::string_view left_;
    bool packed_;
    absl::Status status_;
};

}  // namespace millrace::codec
