/// Random identifiers. Not for: secrets.
#pragma once

#include <string>

namespace millrace::store {

/// A version 4 UUID in lower case, from the system's entropy.
std::string NewUuid();

}  // namespace millrace::store
