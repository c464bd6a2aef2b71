#include "base/secret.h"

#include <string.h>

namespace millrace::base {

void Secret::Wipe() noexcept {
    // A moved-from short string keeps its bytes behind its end: cover the whole capacity. Growing to it never
    // allocates.
    value_.resize(value_.capacity());
    ::explicit_bzero(value_.data(), value_.size());
    value_.clear();
}

}  // namespace millrace::base
