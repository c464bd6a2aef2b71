/// Bytes as base64 with padding, as Kafka Connect's JSON has them. Not for: URLs, line breaks.
#pragma once

#include <string>
#include <string_view>

namespace millrace::codec {

void AppendBase64(std::string_view bytes, std::string& out);
/// Appends the bytes; false when `text` is not base64 as AppendBase64 writes it.
bool DecodeBase64(std::string_view text, std::string& out);

}  // namespace millrace::codec
