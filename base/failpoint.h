/// Named places in the code at which a test lets the process die, fail or wait. Compiled in with
/// MILLRACE_FAILPOINTS only, which no release has. Not for: switches of any other kind.
///
/// MILLRACE_FAILPOINT("publish.after_kafka_commit") stands where the function returns absl::Status or
/// StatusOr; MILLRACE_FAILPOINT_QUIET where it cannot return an error, and then "error" does nothing. What a
/// place does is said in the environment of the process,
/// MILLRACE_FAILPOINTS_ON="name=kill@3;other=error;third=delay:200ms". With MILLRACE_FAILPOINTS_LOG=FILE a
/// line "hit NAME" is added to FILE when a place is reached for the first time, and "kill NAME N" before the
/// process dies there.
#pragma once

#ifdef MILLRACE_FAILPOINTS

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace millrace::base {

struct FailpointAction final {
    enum class Kind { kNone, kKill, kError, kDelay };
    Kind kind = Kind::kNone;
    /// Which hit it happens at, counted from 1 in this process; 0 = every one.
    int64_t at = 0;
    /// At every hit that this divides; 0 = as `at` says.
    int64_t every = 0;
    std::chrono::milliseconds delay{0};

    friend bool operator==(const FailpointAction&, const FailpointAction&) = default;
};

/// "name=kill@3;other=error;third=delay:200ms@2;fourth=error%7" (at every 7th hit). InvalidArgument says which part is none of these.
absl::StatusOr<std::map<std::string, FailpointAction>> ParseFailpoints(std::string_view text);

/// One place; lives to the end of the process. Any thread.
class Failpoint final {
 public:
    /// Ends the process when MILLRACE_FAILPOINTS_ON cannot be read: a test would prove nothing.
    explicit Failpoint(const char* name);
    Failpoint(const Failpoint&) = delete;
    Failpoint& operator=(const Failpoint&) = delete;

    /// Unavailable, reason FAILPOINT, where the action is "error".
    absl::Status Hit();

 private:
    const char* name_;
    FailpointAction action_;
    std::atomic<int64_t> hits_{0};
};

/// Adds `line` to the file that MILLRACE_FAILPOINTS_LOG names, if it names one.
void NoteFailpoint(const std::string& line);

/// "NAME HITS" lines of every place that was reached, by name.
std::string RenderFailpoints();

}  // namespace millrace::base

#define MILLRACE_FAILPOINT(name)                                                                     \
    do {                                                                                             \
        static ::millrace::base::Failpoint& failpoint_here = *new ::millrace::base::Failpoint(name); \
        if (::absl::Status failpoint_status = failpoint_here.Hit(); !failpoint_status.ok()) {        \
            return failpoint_status;                                                                 \
        }                                                                                            \
    } while (false)
#define MILLRACE_FAILPOINT_QUIET(name)                                                               \
    do {                                                                                             \
        static ::millrace::base::Failpoint& failpoint_here = *new ::millrace::base::Failpoint(name); \
        failpoint_here.Hit().IgnoreError();                                                          \
    } while (false)

#else

#define MILLRACE_FAILPOINT(name) static_cast<void>(0)
#define MILLRACE_FAILPOINT_QUIET(name) static_cast<void>(0)

#endif
