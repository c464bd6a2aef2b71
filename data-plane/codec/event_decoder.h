/// Bytes of ChangeRecord → change. Not for: writing them (event_encoder.h).
#pragma once

#include <string_view>

#include "data-plane/codec/event_codec.h"

namespace millrace::codec {

/// See EventCodec::Decode.
absl::Status DecodeValue(std::string_view value, const SchemaLookup& schemas, DecodedEvent& into);

}  // namespace millrace::codec
