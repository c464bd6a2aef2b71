/// Facts of this worker in the words of the link. Not for: collecting them (runtime), judging them (the
/// control plane).
#pragma once

#include <string>

#include "data-plane/events/event_log.h"
#include "data-plane/runtime/pipeline_facts.h"

namespace millrace::v1 {
class PipelineEvent;
class PipelineFacts;
}  // namespace millrace::v1

namespace millrace::agent {

/// One entry for each table that this worker applies. A table that only its publisher knows stands there
/// without a worker id, COPYING until its first copy is whole and UNSPECIFIED afterwards: another worker says
/// how it is applied.
void TranslateFacts(const runtime::PipelineFacts& facts, const std::string& worker_id,
                    v1::PipelineFacts* proto);

void TranslateEvent(const events::LoggedEvent& logged, const std::string& worker_id, v1::PipelineEvent* proto);

}  // namespace millrace::agent
