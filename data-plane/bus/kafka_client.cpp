#include "data-plane/bus/kafka_client.h"

#include <librdkafka/rdkafka.h>
#include <syslog.h>

#include <chrono>
#include <future>
#include <thread>

#include "base/log.h"
#include "base/status.h"
#include "data-plane/bus/kafka_error.h"

namespace millrace::bus {
namespace {

/// While Kafka is down, every connection attempt complains; one line in this time is enough.
constexpr int64_t kWarningIntervalMs = 30'000;
constexpr std::chrono::seconds kDestroyPatience{5};

KafkaProperties CommonDefaults() {
    return {
        {"socket.nagle.disable", "true"},  {"socket.keepalive.enable", "true"},
        {"socket.timeout.ms", "30000"},    {"socket.connection.setup.timeout.ms", "10000"},
        {"reconnect.backoff.ms", "50"},    {"reconnect.backoff.max.ms", "1000"},
        {"log.connection.close", "false"},
    };
}

absl::Status PropertyError(const std::string& name, std::string_view what) {
    return base::MakeError(absl::StatusCode::kInvalidArgument, "KAFKA_PROPERTY",
                           "the Kafka property '" + name + "' " + std::string(what),
                           "correct or remove it among the Kafka properties that the worker was given");
}

absl::Status SetAll(rd_kafka_conf_t* conf, const KafkaProperties& properties) {
    for (const auto& [name, value] : properties) {
        char unused[1];  // The text that librdkafka writes here quotes the value, which may be a password.
        switch (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), unused, sizeof(unused))) {
            case RD_KAFKA_CONF_OK:
                break;
            case RD_KAFKA_CONF_UNKNOWN:
                return PropertyError(name, "is unknown");
            case RD_KAFKA_CONF_INVALID:
                return PropertyError(name, "has a value that is not accepted");
        }
    }
    return absl::OkStatus();
}

void ErrorCallback(rd_kafka_t* /*handle*/, int code, const char* reason, void* opaque) {
    static_cast<ClientState*>(opaque)->OnError(code, reason != nullptr ? reason : "");
}

void LogCallback(const rd_kafka_t* handle, int level, const char* facility, const char* text) {
    if (auto* state = static_cast<ClientState*>(rd_kafka_opaque(handle)); state != nullptr) {
        state->OnLog(level, facility, text);
    }
}

int64_t NowMs() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

}  // namespace

absl::StatusOr<std::unique_ptr<KafkaClient>> KafkaClient::Create(const config::KafkaConfig& kafka,
                                                                 const ClientSetup& setup) {
    if (kafka.brokers.empty()) {
        return base::MakeError(absl::StatusCode::kInvalidArgument, "KAFKA_PROPERTY",
                               "no Kafka broker is configured",
                               "give the worker the address of a broker as host:port");
    }
    for (const auto& [name, value] : kafka.properties) {
        if (setup.fixed.contains(name) || name == "bootstrap.servers") {
            return PropertyError(name, "is set by Millrace itself");
        }
    }
    KafkaOwned<rd_kafka_conf_s> conf(rd_kafka_conf_new());
    RETURN_IF_ERROR(SetAll(conf.get(), CommonDefaults()));
    RETURN_IF_ERROR(SetAll(conf.get(), setup.defaults));
    RETURN_IF_ERROR(SetAll(conf.get(), kafka.properties));
    RETURN_IF_ERROR(SetAll(conf.get(), setup.fixed));
    RETURN_IF_ERROR(SetAll(conf.get(), {{"bootstrap.servers", kafka.brokers}}));

    std::unique_ptr<KafkaClient> client(new KafkaClient(std::make_shared<ClientState>(kafka.brokers, setup)));
    rd_kafka_conf_set_opaque(conf.get(), client->state_.get());
    rd_kafka_conf_set_error_cb(conf.get(), ErrorCallback);
    rd_kafka_conf_set_log_cb(conf.get(), LogCallback);
    if (setup.callbacks) {
        setup.callbacks(conf.get());
    }
    char reason[512];
    const auto type = setup.kind == ClientSetup::Kind::kProducer ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER;
    client->handle_ = rd_kafka_new(type, conf.get(), reason, sizeof(reason));
    if (client->handle_ == nullptr) {
        return base::MakeError(absl::StatusCode::kInvalidArgument, "KAFKA_PROPERTY",
                               std::string("the Kafka client cannot be made: ") + reason,
                               "correct the Kafka properties that the worker was given");
    }
    (void)conf.release();  // Owned by the handle from here on.
    return client;
}

KafkaClient::~KafkaClient() {
    if (handle_ == nullptr) {
        return;
    }
    if (left_behind_) {
        state_->Close();
        state_->StayWithHandle(state_);
        return;
    }
    // Apart, because librdkafka may wait for ever here: so does 2.0 after a topic was deleted that was being
    // read.
    const auto done = std::make_shared<std::promise<void>>();
    std::future<void> finished = done->get_future();
    std::thread destroyer([handle = handle_, state = state_, done] {
        rd_kafka_destroy_flags(handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
        done->set_value();
    });
    if (finished.wait_for(kDestroyPatience) == std::future_status::ready) {
        destroyer.join();
        return;
    }
    state_->Close();
    destroyer.detach();
    base::LogWarning("a kafka client does not end and is left behind; its memory comes back with a restart");
}

absl::Status ClientState::Error(int code, std::string_view doing) const {
    const std::lock_guard lock(mutex_);
    // A refused login shows itself to the caller as a timeout only.
    const bool refused = IsUnreachable(code) && IsAuthentication(last_code_);
    return KafkaError(refused ? last_code_ : code, doing, brokers_, last_reason_);
}

void ClientState::OnError(int code, std::string_view reason) {
    if (on_error_ && !closed_) {
        on_error_(code, reason);
    }
    const std::lock_guard lock(mutex_);
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && !last_reason_.empty()) {
        return;  // Says less than the errors of the single brokers before it.
    }
    last_code_ = code;
    last_reason_ = reason;
}

void ClientState::OnLog(int level, std::string_view facility, std::string_view text) {
    if (closed_) {
        return;
    }
    if (level <= LOG_ERR) {
        const int64_t now = NowMs();
        int64_t last = last_warning_ms_.load();
        if (now - last >= kWarningIntervalMs && last_warning_ms_.compare_exchange_strong(last, now)) {
            base::LogWarning("kafka client reports an error", {{"facility", facility}, {"detail", text}});
            return;
        }
    }
    base::LogDebug("kafka client", {{"facility", facility}, {"detail", text}});
}

}  // namespace millrace::bus
