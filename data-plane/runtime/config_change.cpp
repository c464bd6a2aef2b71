#include "data-plane/runtime/config_change.h"

#include <algorithm>

namespace millrace::runtime {
namespace {

bool SameConnector(const config::ConnectorConfig& a, const config::ConnectorConfig& b) {
    return a.type == b.type && a.options.values == b.options.values &&
           std::equal(a.options.secrets.begin(), a.options.secrets.end(), b.options.secrets.begin(),
                      b.options.secrets.end(), [](const auto& x, const auto& y) {
                          return x.first == y.first && x.second.Reveal() == y.second.Reveal();
                      });
}

}  // namespace

bool SameFlushRules(const config::FlushRules& a, const config::FlushRules& b) {
    return a.rows == b.rows && a.bytes == b.bytes && a.interval == b.interval;
}

ConfigChange CompareConfigs(const config::PipelineConfig& before, const config::PipelineConfig& after) {
    const bool same = before.uid == after.uid && before.id == after.id && before.removed == after.removed &&
                      before.refused == after.refused && before.drop_columns == after.drop_columns &&
                      before.columns == after.columns && before.codec == after.codec &&
                      before.backfill == after.backfill &&
                      before.selection.tables == after.selection.tables &&
                      before.selection.exclude == after.selection.exclude &&
                      before.selection.keys == after.selection.keys &&
                      SameConnector(before.source, after.source) &&
                      SameConnector(before.destination, after.destination);
    if (!same) {
        return ConfigChange::kRestart;
    }
    if (before.paused != after.paused || !SameFlushRules(before.flush, after.flush) ||
        before.overrides != after.overrides || before.resync_counter != after.resync_counter) {
        return ConfigChange::kHot;
    }
    return ConfigChange::kNone;
}

}  // namespace millrace::runtime
