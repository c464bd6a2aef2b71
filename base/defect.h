/// Faults that tests put into our own code, to see that whoever judges it finds them. Compiled in with
/// MILLRACE_FAILPOINTS only, which no release has. Not for: faults from outside (failpoint), switches of any kind.
///
///     if (MILLRACE_DEFECT("drop-event", 400)) { return absl::OkStatus(); }
///
/// is true at every 400th time it is reached, from whatever thread, in a process whose environment says
/// MILLRACE_DEFECT=drop-event, and false everywhere else. With MILLRACE_FAILPOINTS_LOG=FILE a line "defect NAME"
/// is added to FILE at the first time, so that a defect nobody found is told from one that never was.
#pragma once

#ifdef MILLRACE_FAILPOINTS

#include <atomic>
#include <cstdint>

namespace millrace::base {

/// One place; lives to the end of the process. Any thread.
class Defect final {
 public:
    Defect(const char* name, int64_t every);
    Defect(const Defect&) = delete;
    Defect& operator=(const Defect&) = delete;

    /// Whether the fault is to be made now.
    bool Strikes();

 private:
    const char* name_;
    const int64_t every_;
    const bool on_;
    std::atomic<int64_t> reached_{0};
};

}  // namespace millrace::base

#define MILLRACE_DEFECT(name, every)                                                                     \
    ([]() -> bool {                                                                                      \
        static ::millrace::base::Defect& defect_here = *new ::millrace::base::Defect(name, every);       \
        return defect_here.Strikes();                                                                    \
    }())

#else

#define MILLRACE_DEFECT(name, every) false

#endif
