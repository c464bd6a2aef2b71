#include "data-plane/publish/publisher.h"

#include <condition_variable>

#include "base/backoff.h"
#include "base/log.h"
#include "base/status.h"
#include "data-plane/publish/error_policy.h"
#include "data-plane/publish/session.h"

namespace millrace::publish {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kStandbyDelay{1000};

void WaitFor(milliseconds delay, const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any wake;
    std::unique_lock lock(mutex);
    wake.wait_for(lock, stop, delay, [] { return false; });
}

}  // namespace

void FactsBoard::Update(const std::function<void(PublisherFacts&)>& change) {
    const std::lock_guard lock(mutex_);
    change(facts_);
}

void WantedOverrides::Set(const config::PipelineConfig& pipeline) {
    const std::lock_guard lock(mutex_);
    overrides_ = pipeline.overrides;
    resync_counter_ = pipeline.resync_counter;
    ++version_;
}

int64_t WantedOverrides::Resync() const {
    const std::lock_guard lock(mutex_);
    return resync_counter_;
}

std::vector<config::TableOverride> WantedOverrides::All() const {
    const std::lock_guard lock(mutex_);
    return overrides_;
}

config::TableOverride WantedOverrides::Of(const std::string& schema, const std::string& table) const {
    const std::lock_guard lock(mutex_);
    for (const config::TableOverride& wanted : overrides_) {
        if (wanted.schema == schema && wanted.table == table) {
            return wanted;
        }
    }
    return {};
}

PublisherFacts FactsBoard::Read() const {
    const std::lock_guard lock(mutex_);
    return facts_;
}

Publisher::Publisher(config::KafkaConfig kafka, config::PipelineConfig pipeline, SourceFactory make_source,
                     base::Metrics& metrics, events::Recorder recorder)
    : kafka_(std::move(kafka)),
      pipeline_(std::move(pipeline)),
      make_source_(std::move(make_source)),
      metrics_(metrics),
      recorder_(std::move(recorder)),
      wanted_(pipeline_) {}

void Publisher::Run(const std::stop_token& stop) {
    base::Backoff passing(milliseconds{200}, milliseconds{10'000});
    base::Backoff held(milliseconds{2'000}, milliseconds{30'000});
    bool leads = false;
    RefusedTopics refused;
    int copies_put_off = 0;
    while (!stop.stop_requested()) {
        absl::Status status;
        std::string failed_topic;
        {
            Session session(kafka_, pipeline_, make_source_, metrics_, board_,
                            {.wanted = wanted_,
                             .recorder = recorder_,
                             .copies_put_off = copies_put_off,
                             .led_before = leads}, refused, stop);
            status = session.Run();
            leads = session.leads();
            failed_topic = session.failed_topic();
        }
        if (status.ok() && !stop.stop_requested()) {
            continue;  // other tables are wanted than it began with
        }
        if (stop.stop_requested()) {
            if (!status.ok() && !absl::IsCancelled(status)) {
                base::LogWarning("publisher stopped with an error",
                                 {{"pipeline", pipeline_.name}, base::LogField(status)});
            }
            return;
        }
        const Remediation remediation = Decide(status, !failed_topic.empty());
        if (remediation == Remediation::kStandBy) {
            refused.clear();
            Show(PublisherState::kStandby, status, kStandbyDelay);
            WaitFor(kStandbyDelay, stop);
            continue;
        }
        if (Facts().state == PublisherState::kStreaming) {
            passing.Reset();
            held.Reset();
        }
        if (remediation == Remediation::kHoldTable && !refused.contains(failed_topic)) {
            // The next session aborts the transaction and publishes again from its beginning, without the table.
            base::LogError("records of a table cannot be produced",
                           {{"pipeline", pipeline_.name}, {"topic", failed_topic}, base::LogField(status)});
            refused[failed_topic] = status;
            continue;
        }
        const bool needs_person = remediation != Remediation::kRetry;
        const milliseconds delay = needs_person ? held.Next() : passing.Next();
        Show(needs_person ? PublisherState::kBlocked : PublisherState::kRetrying, status, delay);
        base::LogWarning("publisher will retry",
                         {{"pipeline", pipeline_.name}, {"retry_ms", delay.count()}, base::LogField(status)});
        metrics_
            .GetCounter("millrace_publish_errors_total", "Errors that ended a publishing session",
                        {{"pipeline", pipeline_.name}, {"reason", base::ReasonOf(status)}})
            .Add();
        WaitFor(delay, stop);
    }
}

void Publisher::Show(PublisherState state, const absl::Status& error, milliseconds delay) {
    const auto now = std::chrono::system_clock::now();
    board_.Update([&](PublisherFacts& facts) {
        facts.state = state;
        facts.error = error;
        facts.error_time = now;
        facts.next_retry_time = now + delay;
        facts.events_per_second = 0;
    });
}

}  // namespace millrace::publish
