/// One Kafka record as views. Not for: reading and writing records (table_reader, producer).
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace millrace::bus {

/// Memory that the client library takes for a fetched record besides its bytes.
inline constexpr int64_t kFetchedRecordOverhead = 350;

/// To be sent: `name` is a literal. As fetched: both live as long as the record's owner.
struct RecordHeader final {
    std::string_view name;
    std::string_view value;
};

/// A record as fetched; key, value and headers live as long as `owner`.
struct Record final {
    int64_t offset = 0;
    int64_t timestamp_ms = 0;
    std::string_view key;
    std::string_view value;
    std::shared_ptr<const void> owner;
    /// Most records have none.
    std::vector<RecordHeader> headers = {};

    /// The first header of that name; empty without one.
    [[nodiscard]] std::string_view Header(std::string_view name) const {
        for (const RecordHeader& header : headers) {
            if (header.name == name) {
                return header.value;
            }
        }
        return {};
    }
};

}  // namespace millrace::bus
