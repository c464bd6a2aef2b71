#include "data-plane/runtime/pipeline_runner.h"

#include <utility>

#include "base/backoff.h"
#include "base/log.h"
#include "base/status.h"
#include "data-plane/apply/consumer.h"
#include "data-plane/apply/worker_pool.h"
#include "data-plane/codec/event_codec.h"
#include "data-plane/columns/masked_source.h"
#include "data-plane/runtime/config_change.h"
#include "data-plane/runtime/removal.h"

namespace millrace::runtime {

using std::chrono::milliseconds;

/// The consuming half, built anew whenever its configuration asks for it.
struct PipelineRunner::Engine final {
    std::unique_ptr<sdk::Destination> destination;
    std::unique_ptr<apply::WorkerPool> pool;
    std::unique_ptr<apply::Consumer> consumer;
    config::PipelineConfig pipeline;
};

PipelineRunner::PipelineRunner(const WorkerContext& context, const config::PipelineConfig& pipeline)
    : context_(context), name_(pipeline.name), pipeline_(pipeline) {
    running_ = (context.role.publisher ? 1 : 0) + (context.role.consumer ? 1 : 0);
    if (context.role.publisher) {
        auto make_source = [this, source = pipeline.source, id = pipeline.id,
                            rules = pipeline.columns]() -> absl::StatusOr<std::unique_ptr<sdk::Source>> {
            ASSIGN_OR_RETURN(const sdk::Connector* connector, context_.registry.Find(source.type));
            ASSIGN_OR_RETURN(std::unique_ptr<sdk::Source> made, connector->make_source(source.options, id));
            return columns::MaskColumns(std::move(made), rules, context_.hash_key);
        };
        publisher_ =
            std::make_unique<publish::Publisher>(context.kafka, pipeline, make_source, context.metrics,
                                                 MakeRecorder());
        publisher_thread_ = std::jthread([this](const std::stop_token& stop) { RunPublisher(stop); });
    }
    if (context.role.consumer) {
        consumer_thread_ = std::jthread([this](const std::stop_token& stop) { RunConsumer(stop); });
    }
}

PipelineRunner::~PipelineRunner() {
    RequestStop();
}

void PipelineRunner::RunPublisher(const std::stop_token& stop) {
    publisher_->Run(stop);
    Ended();
}

void PipelineRunner::RunConsumer(const std::stop_token& stop) {
    base::Backoff backoff(milliseconds(500), milliseconds(10'000));
    while (!stop.stop_requested()) {
        const absl::Status started = StartEngine();
        if (started.ok()) {
            backoff.Reset();
            ServeEngine(stop);
        } else {
            base::LogWarning("a pipeline's destination cannot be started",
                             {{"pipeline", name_}, base::LogField(started)});
            std::unique_lock lock(mutex_);
            changed_.wait_for(lock, stop, backoff.Next(), [] { return false; });
        }
    }
    Ended();
}

absl::Status PipelineRunner::StartEngine() {
    auto engine = std::make_unique<Engine>();
    {
        const std::lock_guard lock(mutex_);
        engine->pipeline = pipeline_;
    }
    const config::PipelineConfig& pipeline = engine->pipeline;
    absl::Status status = [&]() -> absl::Status {
        ASSIGN_OR_RETURN(const sdk::Connector* connector, context_.registry.Find(pipeline.destination.type));
        ASSIGN_OR_RETURN(engine->destination, connector->make_destination(pipeline.destination.options));
        engine->pool = std::make_unique<apply::WorkerPool>(context_.apply_threads);
        engine->consumer = std::make_unique<apply::Consumer>(context_.kafka, pipeline, context_.worker_id,
                                                             *engine->destination, codec::MakeMillraceCodec,
                                                             context_.metrics, *engine->pool,
                                                             apply::ConsumerLimits{}, MakeRecorder());
        return engine->consumer->Start();
    }();
    const std::lock_guard lock(mutex_);
    engine_error_ = status;
    if (status.ok()) {
        engine_ = std::move(engine);
    }
    return status;
}

// Returns when the consumer is to be built anew or the pipeline stops.
void PipelineRunner::ServeEngine(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (true) {
        changed_.wait(lock, stop, [this] {
            return pipeline_.paused != engine_->pipeline.paused ||
                   pipeline_.overrides != engine_->pipeline.overrides ||
                   pipeline_.resync_counter != engine_->pipeline.resync_counter ||
                   !SameFlushRules(pipeline_.flush, engine_->pipeline.flush);
        });
        if (stop.stop_requested() || !SameFlushRules(pipeline_.flush, engine_->pipeline.flush)) {
            break;
        }
        if (pipeline_.overrides != engine_->pipeline.overrides ||
            pipeline_.resync_counter != engine_->pipeline.resync_counter) {
            engine_->pipeline.overrides = pipeline_.overrides;
            engine_->pipeline.resync_counter = pipeline_.resync_counter;
            engine_->consumer->Order(pipeline_.overrides, pipeline_.resync_counter);
        }
        if (pipeline_.paused == engine_->pipeline.paused) {
            continue;
        }
        engine_->pipeline.paused = pipeline_.paused;
        if (pipeline_.paused) {
            engine_->consumer->Pause();
        } else {
            engine_->consumer->Resume();
        }
    }
    lock.unlock();
    StopEngine();
}

void PipelineRunner::StopEngine() {
    if (const absl::Status stopped = engine_->consumer->Stop(context_.grace); !stopped.ok()) {
        base::LogWarning("a batch is still in flight", {{"pipeline", name_}, base::LogField(stopped)});
    }
    std::unique_ptr<Engine> engine;
    {
        const std::lock_guard lock(mutex_);
        engine = std::move(engine_);
    }
    // In this order: the consumer's batches run in the pool and write to the destination.
    engine->consumer.reset();
    engine->pool.reset();
    engine->destination.reset();
}

events::Recorder PipelineRunner::MakeRecorder() const {
    return context_.events == nullptr ? events::Recorder() : events::Recorder(*context_.events, name_);
}

void PipelineRunner::Ended() {
    const std::lock_guard lock(mutex_);
    --running_;
    changed_.notify_all();
}

void PipelineRunner::Update(const config::PipelineConfig& pipeline) {
    {
        const std::lock_guard lock(mutex_);
        pipeline_ = pipeline;
        changed_.notify_all();
    }
    if (publisher_) {
        publisher_->Update(pipeline);
    }
}

PipelineFacts PipelineRunner::Facts() const {
    PipelineFacts facts;
    if (publisher_) {
        facts.publisher = publisher_->Facts();
    }
    const std::lock_guard lock(mutex_);
    facts.name = name_;
    facts.generation = pipeline_.generation;
    facts.paused = pipeline_.paused;
    facts.error = engine_error_;
    if (engine_) {
        facts.tables = engine_->consumer->Facts();
        facts.error = engine_->consumer->health();
    }
    return facts;
}

void PipelineRunner::RequestStop() {
    publisher_thread_.request_stop();
    consumer_thread_.request_stop();
}

bool PipelineRunner::Drained(std::chrono::steady_clock::time_point deadline) {
    std::unique_lock lock(mutex_);
    return changed_.wait_until(lock, deadline, [this] { return running_ == 0; });
}

RunnerFactory MakeRunnerFactory(const WorkerContext& context) {
    return [&context](const config::PipelineConfig& pipeline) -> std::unique_ptr<Runner> {
        if (!pipeline.removed) {
            return std::make_unique<PipelineRunner>(context, pipeline);
        }
        const auto remove = [&context](const config::PipelineConfig& removed) {
            return RemoveTraces(context.kafka, context.registry, removed);
        };
        return std::make_unique<RemovalRunner>(pipeline, remove, milliseconds(1'000), milliseconds(15'000));
    };
}

}  // namespace millrace::runtime
