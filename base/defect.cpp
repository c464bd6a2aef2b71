#include "base/defect.h"

#ifdef MILLRACE_FAILPOINTS

#include <cstdlib>
#include <string_view>

#include "base/failpoint.h"
#include "base/text.h"

namespace millrace::base {
namespace {

bool IsOn(std::string_view name) {
    const char* const wanted = std::getenv("MILLRACE_DEFECT");
    return wanted != nullptr && name == wanted;
}

}  // namespace

Defect::Defect(const char* name, int64_t every) : name_(name), every_(every), on_(IsOn(name)) {}

bool Defect::Strikes() {
    if (!on_) {
        return false;
    }
    const int64_t reached = reached_.fetch_add(1) + 1;
    if (reached == every_) {
        NoteFailpoint(Concat("defect ", name_, "\n"));
    }
    return reached % every_ == 0;
}

}  // namespace millrace::base

#endif
