/// Secrets from the environment, a file or a prompt, so that they need not stand in a command line.
/// Not for: sealing (connector_form).
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/secret.h"

namespace millrace::cli {

/// "env:NAME", "file:PATH" (one trailing newline is cut) or "prompt" (asked for on the terminal, not echoed);
/// anything else is the secret itself. NotFound / FailedPrecondition say which one is missing.
absl::StatusOr<base::Secret> ReadSecret(const base::Secret& reference, std::string_view what);

}  // namespace millrace::cli
