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
    /// Sets further callbacks; their opaque is the ClientState.
    std::function<void(rd_kafka_conf_s*)> callbacks;
    /// Hears of errors that concern no single call, on the thread that polls.
    std::function<void(int code, std::string_view reason)> on_error;
    /// For those callbacks: ClientState::owner().
    void* owner = nullptr;
};

/// What librdkafka's callbacks get. Outlives the KafkaClient when the handle does.
class ClientState final {
 public:
    ClientState(std::string brokers, const ClientSetup& setup)
        : brokers_(std::move(brokers)), owner_(setup.owner), on_error_(setup.on_error) {}

    [[nodiscard]] void* owner() const { return owner_; }
    /// KafkaError with brokers and the last connection error filled in.
    [[nodiscard]] absl::Status Error(int code, std::string_view doing) const;
    /// From here on nobody is called and nothing is logged.
    void Close() { closed_ = true; }
    /// It lives as long as the process, like the handle whose threads go on calling it.
    void StayWithHandle(std::shared_ptr<ClientState> self) { self_ = std::move(self); }

    /// Called back by librdkafka: OnError on the thread that polls, OnLog on any.
    void OnError(int code, std::string_view reason);
    void OnLog(int level, std::string_view facility, std::string_view text);

 private:
    const std::string brokers_;
    void* const owner_;
    const std::function<void(int, std::string_view)> on_error_;
    std::atomic<bool> closed_{false};
    std::shared_ptr<ClientState> self_;
    mutable std::mutex mutex_;
    int last_code_ = 0;
    std::string last_reason_;
    std::atomic<int64_t> last_warning_ms_{-1'000'000};
};

/// Thread-safe as librdkafka is.
class KafkaClient final {
 public:
    /// Does not connect. InvalidArgument KAFKA_PROPERTY names the property that is unknown, fixed or not
    /// accepted, never its value.
    static absl::StatusOr<std::unique_ptr<KafkaClient>> Create(const config::KafkaConfig& kafka,
                                                               const ClientSetup& setup);
    /// Never closes a consumer in an orderly way: who joined a group leaves it first. Returns within some
    /// seconds.
    ~KafkaClient();
    KafkaClient(const KafkaClient&) = delete;
    KafkaClient& operator=(const KafkaClient&) = delete;

    /// For a handle that librdkafka cannot destroy without taking the process down: it stays until the process ends.
    void LeaveBehind() { left_behind_ = true; }

    [[nodiscard]] rd_kafka_s* get() const { return handle_; }
    [[nodiscard]] ClientState& state() const { return *state_; }
    /// See ClientState::Error.
    [[nodiscard]] absl::Status Error(int code, std::string_view doing) const {
        return state_->Error(code, doing);
    }

 private:
    explicit KafkaClient(std::shared_ptr<ClientState> state) : state_(std::move(state)) {}

    const std::shared_ptr<ClientState> state_;
    rd_kafka_s* handle_ = nullptr;
    bool left_behind_ = false;
};

}  // namespace millrace::bus
