/// Who may call: bearer tokens. Not for: scopes of single methods, TLS.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "base/secret.h"

namespace millrace::api {

struct Tokens final {
    /// For the API's services; empty = nobody is asked.
    base::Secret api;
    /// For the data planes' link; empty = nobody is asked.
    base::Secret plane;
};

/// `authorization` is the metadata value, "" when there was none. Unauthenticated (reason TOKEN_MISSING,
/// TOKEN_WRONG). The comparison takes the same time wherever the tokens differ.
absl::Status CheckToken(const std::string& authorization, const base::Secret& expected);

}  // namespace millrace::api
