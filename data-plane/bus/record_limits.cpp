#include "data-plane/bus/record_limits.h"

#include <algorithm>
#include <charconv>
#include <string>

namespace millrace::bus {
namespace {

/// librdkafka's own lower limit.
constexpr int64_t kLeastBytes = 1000;

}  // namespace

int64_t MaxMessageBytes(const config::KafkaConfig& kafka) {
    const auto set = kafka.properties.find("message.max.bytes");
    if (set == kafka.properties.end()) {
        return kDefaultMessageBytes;
    }
    int64_t bytes = 0;
    const std::string& text = set->second;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bytes);
    // What the client library refuses, it refuses itself, by name.
    return error == std::errc() && end == text.data() + text.size() ? std::max(bytes, kLeastBytes)
                                                                    : kDefaultMessageBytes;
}

int64_t PartBytes(const config::KafkaConfig& kafka) {
    // More would not gain anything, and must fit the producer's queue.
    return std::min(MaxMessageBytes(kafka), kDefaultMessageBytes) / 2;
}

}  // namespace millrace::bus
