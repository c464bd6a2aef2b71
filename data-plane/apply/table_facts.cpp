#include "data-plane/apply/table_facts.h"

namespace millrace::apply {

std::string_view NameOf(TableState state) {
    switch (state) {
        case TableState::kWaiting:
            return "waiting";
        case TableState::kTakingOver:
            return "taking_over";
        case TableState::kLive:
            return "live";
        case TableState::kRetrying:
            return "retrying";
        case TableState::kHeld:
            return "held";
        case TableState::kPaused:
            return "paused";
        case TableState::kStopped:
            return "stopped";
    }
    return "unknown";
}

}  // namespace millrace::apply
