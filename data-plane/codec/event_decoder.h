/// Bytes of a record → change: ChangeRecord, or by its first byte a JSON form. Not for: writing them (event_encoder.h).
#pragma once

#include <string_view>

#include "data-plane/codec/event_codec.h"

namespace millrace::codec {

/// The error of a record that cannot be read (BAD_RECORD).
absl::Status Malformed(std::string_view what);
/// Forgets the last event but its schema.
void Reset(DecodedEvent& into);
/// Sets the event's schema.
absl::Status TakeSchema(uint64_t id, const SchemaLookup& schemas, DecodedEvent& into);
/// Sets the event's images to the cells read, once they are those that its operation has.
absl::Status TakeImages(DecodedEvent& into);

/// See EventCodec::Decode.
absl::Status DecodeValue(std::string_view value, const SchemaLookup& schemas, DecodedEvent& into);

}  // namespace millrace::codec
