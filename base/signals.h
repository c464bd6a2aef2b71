/// SIGTERM and SIGINT as one event that main waits for. Not for: other signals.
#pragma once

#include <chrono>

namespace millrace::base {

/// Blocks SIGTERM and SIGINT for this thread and those started after it, and ignores SIGPIPE. Call first in main.
void BlockShutdownSignals();

/// Waits until SIGTERM or SIGINT arrives (returns its number) or `timeout` passes (returns 0).
int WaitForShutdownSignal(std::chrono::milliseconds timeout);

}  // namespace millrace::base
