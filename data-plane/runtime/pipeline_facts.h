/// What one worker knows of one pipeline at one moment. Not for: the wire (agent/facts translates), status
/// (the control plane derives it).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "data-plane/apply/table_facts.h"
#include "data-plane/publish/publisher.h"

namespace millrace::runtime {

struct PipelineFacts final {
    std::string name;
    int64_t generation = 0;
    /// Absent where this worker runs no publisher for it.
    std::optional<publish::PublisherFacts> publisher;
    /// Those that this worker applies now.
    std::vector<apply::TableFacts> tables;
    bool paused = false;
    /// The pipeline was to be deleted and every trace of it is gone.
    bool removed = false;
    /// Why the pipeline as a whole does not run or cannot be removed; OK otherwise.
    absl::Status error;
};

}  // namespace millrace::runtime
