#include "control-plane/api/access.h"

#include <openssl/crypto.h>

#include "base/status.h"

namespace millrace::api {
namespace {

constexpr char kScheme[] = "Bearer ";

absl::Status Refuse(const char* reason, const char* message) {
    return base::MakeError(
        absl::StatusCode::kUnauthenticated, reason, message,
        "Send \"authorization: Bearer TOKEN\" with the token that this control plane was started with "
        "(the command line takes it from MILLRACE_TOKEN or its credentials file).");
}

}  // namespace

absl::Status CheckToken(const std::string& authorization, const base::Secret& expected) {
    if (expected.empty()) {
        return absl::OkStatus();
    }
    if (!authorization.starts_with(kScheme)) {
        return Refuse("TOKEN_MISSING", "The call carries no token.");
    }
    const std::string& token = expected.Reveal();
    const size_t offset = sizeof(kScheme) - 1;
    const bool equal = authorization.size() - offset == token.size() &&
                       CRYPTO_memcmp(authorization.data() + offset, token.data(), token.size()) == 0;
    return equal ? absl::OkStatus() : Refuse("TOKEN_WRONG", "The token is not the right one.");
}

}  // namespace millrace::api
