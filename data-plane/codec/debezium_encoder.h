/// Change → Debezium's envelope as JSON, with its schema inside. Not for: reading it back (debezium_decoder), types
/// (debezium_types).
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "connectors/sdk/change_event.h"
#include "data-plane/codec/event_codec.h"

namespace millrace::codec {

/// One thread.
class DebeziumEncoder final {
 public:
    explicit DebeziumEncoder(DebeziumOrigin origin) : origin_(std::move(origin)) {}

    /// Replaces key and value; their memory is reused.
    void Encode(const sdk::ChangeEvent& event, std::string& key, std::string& value);
    /// Of an update that moves the row to another key: the delete of the row under its old key. False otherwise.
    bool EncodeOldKey(const sdk::ChangeEvent& event, std::string& key, std::string& value);

 private:
    /// Texts that are the same for every record of one schema.
    struct Fixed final {
        std::string key_schema;
        std::string envelope_schema;
        /// Members of `source` before the position's.
        std::string source;
    };

    const Fixed& FixedOf(const sdk::TableSchema& schema);
    void EncodeEnvelope(const sdk::ChangeEvent& event, char op, std::string_view note, std::string& value);
    void EncodeKeyOf(const sdk::TableSchema& schema, sdk::RowView row, sdk::RowView old_row, std::string& key);

    const DebeziumOrigin origin_;
    std::unordered_map<uint64_t, Fixed> fixed_;
    std::string before_;
    std::string after_;
    std::string note_;
};

}  // namespace millrace::codec
