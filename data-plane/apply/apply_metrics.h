/// The metrics of one table's way into its destination, under their documented names. Not for: status
/// (table_facts).
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/metrics.h"

namespace millrace::apply {

/// Any thread.
class ApplyMetrics final {
 public:
    ApplyMetrics(base::Metrics& metrics, std::string pipeline);

    /// From now on counts under `table` ("schema.table").
    void NameTable(const std::string& table);

    void Applied(int64_t changes, double seconds, int64_t holes);
    /// Values by column, "" for whole rows.
    void DeadLettered(const std::map<std::string, int64_t>& columns);
    void Failed(const std::string& reason);
    void SetLag(double seconds);

 private:
    base::Metrics& metrics_;
    std::string pipeline_;
    std::string table_;
    base::Counter* rows_ = nullptr;
    base::Counter* batches_ = nullptr;
    base::Counter* holes_ = nullptr;
    base::Gauge* lag_ = nullptr;
    base::Histogram& seconds_;
};

}  // namespace millrace::apply
