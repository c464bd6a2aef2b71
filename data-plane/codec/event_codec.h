/// The bytes of a change in Kafka: ChangeRecord of proto/millrace/v1/change_event.proto, written and read by hand for
/// speed and checked against the generated classes; or Debezium's envelope as JSON. Not for: routing, destinations.
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
    /// Where it is set, the cells point into it and not into the record's bytes.
    std::shared_ptr<const std::string> texts = {};
};

/// Kafka header of a record that repeats, for readers of another form, a part of the record behind it. Millrace passes
/// over such records, whatever is in them.
inline constexpr std::string_view kAsideHeader = "millrace-aside";
/// Value of that header: the row under its old key is deleted, the next record has it under its new one.
inline constexpr std::string_view kKeyMoveAside = "key-move";

class EventCodec {
  public:
    virtual ~EventCodec() = default;
    /// Appends the record's value to `value` and its key to `key` (both are cleared first and may be reused).
    virtual void Encode(const sdk::ChangeEvent& event, std::string& key, std::string& value) = 0;
    /// Whether the values of several events may share a record (change_pack.h).
    [[nodiscard]] virtual bool packs() const { return false; }
    /// The aside that stands before the event's record (see kAsideHeader); false when there is none, and nothing is
    /// written then.
    virtual bool EncodeAside(const sdk::ChangeEvent& /*event*/, std::string& /*key*/, std::string& /*value*/) {
        return false;
    }
    /// Of records of every form, whichever the codec writes. DataLoss for malformed bytes; never throws. `into` is
    /// reused.
    virtual absl::Status Decode(std::string_view value, const SchemaLookup& schemas, DecodedEvent& into) = 0;
};

std::unique_ptr<EventCodec> MakeMillraceCodec();

/// What Debezium's records say of their origin.
struct DebeziumOrigin final {
    /// Debezium's `topic.prefix`: first part of the names of schemas.
    std::string name;
    /// Empty when the source has none.
    std::string database;
};

/// Debezium's envelope as JSON with its schema inside; see docs/topics.md. One thread.
std::unique_ptr<EventCodec> MakeDebeziumCodec(DebeziumOrigin origin);

/// Key of a record: each key cell as varint length and text (key cells are never NULL; a NULL one is written as empty).
/// Empty for append-only tables.
void EncodeKey(const sdk::TableSchema& schema, sdk::RowView row, std::string& key);

std::string EncodeSchema(const sdk::TableSchema& schema);
absl::StatusOr<sdk::SchemaPtr> DecodeSchema(std::string_view bytes);
/// "<16 lower-case hex digits>".
std::string SchemaKey(uint64_t schema_id);

}  // namespace millrace::codec
