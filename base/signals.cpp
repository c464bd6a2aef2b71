#include "base/signals.h"

#include <pthread.h>

#include <cerrno>
#include <csignal>
#include <ctime>

namespace millrace::base {
namespace {

sigset_t ShutdownSignals() {
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, SIGTERM);
    ::sigaddset(&set, SIGINT);
    return set;
}

}  // namespace

void BlockShutdownSignals() {
    const sigset_t set = ShutdownSignals();
    ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
}

int WaitForShutdownSignal(std::chrono::milliseconds timeout) {
    const sigset_t set = ShutdownSignals();
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    while (true) {
        auto left =
            std::chrono::duration_cast<std::chrono::nanoseconds>(deadline - std::chrono::steady_clock::now());
        if (left.count() < 0) {
            left = std::chrono::nanoseconds(0);
        }
        const timespec wait{left.count() / 1'000'000'000, left.count() % 1'000'000'000};
        const int signal = ::sigtimedwait(&set, nullptr, &wait);
        if (signal > 0) {
            return signal;
        }
        if (errno != EINTR) {
            return 0;
        }
    }
}

}  // namespace millrace::base
