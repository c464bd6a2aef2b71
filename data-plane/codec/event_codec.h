/// The bytes of a change in Kafka: ChangeRecord of proto/millrace/v1/change_event.proto, written and read by hand for
/// speed and checked against the generated classes. Not for: routing, destinations.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "connectors/sdk/change_event.h"

namespace millrace::codec {

/// Looks a schema up by its id; DataLoss when it is nowhere.
using SchemaLookup = std::function<absl::StatusOr<sdk::SchemaPtr>(uint64_t schema_id)>;

/// A decoded change; `event`'s views point into the record's bytes and into this object's cell vectors, so both must live.
struct DecodedEvent final {
    sdk::ChangeEvent event;
    std::vector<sdk::Cell> after;
    std::vector<sdk::Cell> before;
};

class EventCodec {
  public:
    virtual ~EventCodec() = default;
    /// Appends the record's value to `value` and its key to `key` (both are cleared first and may be reused).
    virtual void Encode(const sdk::ChangeEvent& event, std::string& key, std::string& value) = 0;
    /// DataLoss for malformed bytes; never throws. `into` is reused.
    virtual absl::Status Decode(std::string_view value, const SchemaLookup& schemas, DecodedEvent& into) = 0;
};

std::unique_ptr<EventCodec> MakeMillraceCodec();

/// Key of a record: each key cell as varint length and text (key cells are never NULL; a NULL one is written as empty).
/// Empty for append-only tables.
void EncodeKey(const sdk::TableSchema& schema, sdk::RowView row, std::string& key);

std::string EncodeSchema(const sdk::TableSchema& schema);
absl::StatusOr<sdk::SchemaPtr> DecodeSchema(std::string_view bytes);
/// "<16 lower-case hex digits>".
std::string SchemaKey(uint64_t schema_id);

}  // namespace millrace::codec
