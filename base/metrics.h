/// The process's metrics: counters, gauges and histograms under documented names, in Prometheus text form.
/// Not for: logs, status of resources; labels must be of low cardinality (pipeline, table, reason) and never a row value.
#pragma once

#include <map>
#include <memory>
#include <string>

namespace millrace::base {

using Labels = std::map<std::string, std::string>;

class Counter {
  public:
    virtual ~Counter() = default;
    virtual void Add(double n = 1) = 0;
};

class Gauge {
  public:
    virtual ~Gauge() = default;
    virtual void Set(double value) = 0;
};

class Histogram {
  public:
    virtual ~Histogram() = default;
    virtual void Observe(double seconds) = 0;
};

/// Owns every instrument; hands out references that live as long as it does. Any thread.
class Metrics final {
  public:
    Metrics();
    ~Metrics();
    Metrics(const Metrics&) = delete;
    Metrics& operator=(const Metrics&) = delete;

    /// The same (name, labels) returns the same instrument. `help` is one sentence with the unit.
    Counter& GetCounter(const std::string& name, const std::string& help, const Labels& labels = {});
    Gauge& GetGauge(const std::string& name, const std::string& help, const Labels& labels = {});
    /// Buckets for durations from 1 ms to 10 min.
    Histogram& GetHistogram(const std::string& name, const std::string& help, const Labels& labels = {});

    /// Prometheus text exposition format 0.0.4.
    [[nodiscard]] std::string Render() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::base
