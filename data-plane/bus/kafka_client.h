/// One librdkafka handle: made from KafkaConfig, with its log and its connection errors kept. Private to this
/// folder. Not for: what the handle is used for.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "data-plane/bus/kafka_handle.h"
#include "data-plane/config/pipeline_config.h"

namespace millrace::bus {

using KafkaProperties = std::map<std::string, std::string>;

struct ClientSetup final {
    enum class Kind { kProducer, kConsumer };
    Kind kind = Kind::kConsumer;
    /// KafkaConfig.properties may override these …
    KafkaProperties defaults;
    /// … but not these, on which correctness rests.
    KafkaProperties fixed;
    /// Sets further callbacks; their opaque is the KafkaClient.
    std::function<void(rd_kafka_conf_s*)> callbacks;
    /// For those callbacks: KafkaClient::owner().
    void* owner = nullptr;
};

/// Thread-safe as librdkafka is.
class KafkaClient final {
 public:
    /// Does not connect. InvalidArgument KAFKA_PROPERTY names the property that is unknown, fixed or not
    /// accepted, never its value.
    static absl::StatusOr<std::unique_ptr<KafkaClient>> Create(const config::KafkaConfig& kafka,
                                                               const ClientSetup& setup);
    /// Never closes a consumer in an orderly way: who joined a group leaves it first.
    ~KafkaClient();
    KafkaClient(const KafkaClient&) = delete;
    KafkaClient& operator=(const KafkaClient&) = delete;

    [[nodiscard]] rd_kafka_s* get() const { return handle_; }
    [[nodiscard]] void* owner() const { return owner_; }

    /// KafkaError with brokers and the last connection error filled in.
    [[nodiscard]] absl::Status Error(int code, std::string_view doing) const;

    /// Called back by librdkafka.
    void OnError(int code, std::string_view reason);
    void OnLog(int level, std::string_view facility, std::string_view text);

 private:
    KafkaClient(std::string brokers, void* owner) : brokers_(std::move(brokers)), owner_(owner) {}

    const std::string brokers_;
    void* const owner_;
    rd_kafka_s* handle_ = nullptr;
    mutable std::mutex mutex_;
    int last_code_ = 0;
    std::string last_reason_;
    std::atomic<int64_t> last_warning_ms_{-1'000'000};
};

}  // namespace millrace::bus
