#include "data-plane/apply/apply_metrics.h"

#include <utility>

namespace millrace::apply {

ApplyMetrics::ApplyMetrics(base::Metrics& metrics, std::string pipeline)
    : metrics_(metrics),
      pipeline_(std::move(pipeline)),
      seconds_(metrics.GetHistogram("millrace_apply_seconds",
                                    "Time of one batch in the destination, in seconds.",
                                    {{"pipeline", pipeline_}})) {}

void ApplyMetrics::NameTable(const std::string& table) {
    table_ = table;
    const base::Labels labels{{"pipeline", pipeline_}, {"table", table_}};
    rows_ = &metrics_.GetCounter("millrace_rows_applied_total", "Row changes applied to the destination.",
                                 labels);
    batches_ =
        &metrics_.GetCounter("millrace_batches_applied_total", "Batches applied to the destination.", labels);
    holes_ = &metrics_.GetCounter(
        "millrace_toast_holes_total",
        "Cells left NULL because the source did not send them and the destination had no row.", labels);
    lag_ = &metrics_.GetGauge("millrace_lag_seconds", "Age of the oldest change not applied yet, in seconds.",
                              labels);
}

void ApplyMetrics::Applied(int64_t changes, double seconds, int64_t holes) {
    seconds_.Observe(seconds);
    if (rows_ != nullptr) {
        rows_->Add(static_cast<double>(changes));
        batches_->Add();
        holes_->Add(static_cast<double>(holes));
    }
}

void ApplyMetrics::DeadLettered(const std::map<std::string, int64_t>& columns) {
    for (const auto& [column, count] : columns) {
        metrics_
            .GetCounter("millrace_dead_letters_total",
                        "Values that the destination could not hold and keeps in _millrace.dead_letters.",
                        {{"pipeline", pipeline_}, {"table", table_}, {"column", column}})
            .Add(static_cast<double>(count));
    }
}

void ApplyMetrics::Failed(const std::string& reason) {
    metrics_
        .GetCounter("millrace_apply_errors_total", "Errors on the way into the destination.",
                    {{"pipeline", pipeline_}, {"table", table_}, {"reason", reason}})
        .Add();
}

void ApplyMetrics::SetLag(double seconds) {
    if (lag_ != nullptr) {
        lag_->Set(seconds);
    }
}

}  // namespace millrace::apply
