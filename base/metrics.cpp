#include "base/metrics.h"

#include <exception>
#include <mutex>
#include <utility>

#include "base/log.h"
#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "prometheus/text_serializer.h"

namespace millrace::base {
namespace {

const prometheus::Histogram::BucketBoundaries& DurationBuckets() {
    static const prometheus::Histogram::BucketBoundaries kBuckets = {
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600};
    return kBuckets;
}

// Each instrument keeps a target of its own for the case that the registry refuses its name or labels: a
// wrong metric is logged and left out, and never stops the process that it measures.
class PromCounter final : public Counter {
 public:
    explicit PromCounter(prometheus::Counter* counter) : counter_(counter ? counter : &unregistered_) {}
    void Add(double n) override { counter_->Increment(n); }

 private:
    prometheus::Counter unregistered_;
    prometheus::Counter* counter_;
};

class PromGauge final : public Gauge {
 public:
    explicit PromGauge(prometheus::Gauge* gauge) : gauge_(gauge ? gauge : &unregistered_) {}
    void Set(double value) override { gauge_->Set(value); }

 private:
    prometheus::Gauge unregistered_;
    prometheus::Gauge* gauge_;
};

class PromHistogram final : public Histogram {
 public:
    explicit PromHistogram(prometheus::Histogram* histogram)
        : histogram_(histogram ? histogram : &unregistered_) {}
    void Observe(double seconds) override { histogram_->Observe(seconds); }

 private:
    prometheus::Histogram unregistered_{DurationBuckets()};
    prometheus::Histogram* histogram_;
};

template <typename Register>
auto* Registered(const std::string& name, Register&& add) {
    decltype(add()) instrument = nullptr;
    try {
        instrument = add();
    } catch (const std::exception& e) {
        LogError("metric left out", {{"metric", name}, {"error", e.what()}});
    }
    return instrument;
}

template <typename Instrument>
using InstrumentMap = std::map<std::pair<std::string, Labels>, std::unique_ptr<Instrument>>;

}  // namespace

struct Metrics::Impl final {
    std::mutex mutex;
    prometheus::Registry registry;
    InstrumentMap<PromCounter> counters;
    InstrumentMap<PromGauge> gauges;
    InstrumentMap<PromHistogram> histograms;
};

Metrics::Metrics() : impl_(std::make_unique<Impl>()) {}
Metrics::~Metrics() = default;

Counter& Metrics::GetCounter(const std::string& name, const std::string& help, const Labels& labels) {
    const std::lock_guard lock(impl_->mutex);
    auto& slot = impl_->counters[{name, labels}];
    if (!slot) {
        slot = std::make_unique<PromCounter>(Registered(name, [&] {
            return &prometheus::BuildCounter().Name(name).Help(help).Register(impl_->registry).Add(labels);
        }));
    }
    return *slot;
}

Gauge& Metrics::GetGauge(const std::string& name, const std::string& help, const Labels& labels) {
    const std::lock_guard lock(impl_->mutex);
    auto& slot = impl_->gauges[{name, labels}];
    if (!slot) {
        slot = std::make_unique<PromGauge>(Registered(name, [&] {
            return &prometheus::BuildGauge().Name(name).Help(help).Register(impl_->registry).Add(labels);
        }));
    }
    return *slot;
}

Histogram& Metrics::GetHistogram(const std::string& name, const std::string& help, const Labels& labels) {
    const std::lock_guard lock(impl_->mutex);
    auto& slot = impl_->histograms[{name, labels}];
    if (!slot) {
        slot = std::make_unique<PromHistogram>(Registered(name, [&] {
            return &prometheus::BuildHistogram()
                        .Name(name)
                        .Help(help)
                        .Register(impl_->registry)
                        .Add(labels, DurationBuckets());
        }));
    }
    return *slot;
}

std::string Metrics::Render() const {
    return prometheus::TextSerializer().Serialize(impl_->registry.Collect());
}

}  // namespace millrace::base
