/// How two configurations of one pipeline differ, in terms of what a running pipeline must do. Not for: doing
/// it.
#pragma once

#include "data-plane/config/pipeline_config.h"

namespace millrace::runtime {

enum class ConfigChange {
    /// Nothing that runs is touched (the generation may differ).
    kNone,
    /// Pause, resume, verbs, flush rules: taken over while running.
    kHot,
    /// Everything else.
    kRestart,
};

/// `before` and `after` bear the same name.
ConfigChange CompareConfigs(const config::PipelineConfig& before, const config::PipelineConfig& after);

bool SameFlushRules(const config::FlushRules& a, const config::FlushRules& b);

}  // namespace millrace::runtime
