/// Debezium's envelope as DebeziumEncoder writes it → change. Not for: records of Debezium itself, which lack
/// `source.millrace`.
#pragma once

#include <string_view>

#include "data-plane/codec/event_codec.h"

namespace millrace::codec {

/// See EventCodec::Decode; the cells point into `into.texts`.
absl::Status DecodeDebezium(std::string_view value, const SchemaLookup& schemas, DecodedEvent& into);

}  // namespace millrace::codec
