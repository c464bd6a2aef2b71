// Connection URLs; an error never repeats what may be a password.
#include <string>

#include "base/status.h"
#include "control-plane/cli/connection_url.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace millrace;
    const std::string text(reinterpret_cast<const char*>(data), size);
    const auto url = cli::ParseConnectionUrl(text);
    if (url.ok()) {
        fuzz::Require(!url->scheme.empty(), "a URL has a scheme");
        return 0;
    }
    fuzz::Require(url.status().code() == absl::StatusCode::kInvalidArgument, "a bad URL is InvalidArgument");
    // With a password that no sentence of ours contains.
    const std::string secret = "s3cr3tqzx";
    const auto with = cli::ParseConnectionUrl("postgres://u:" + secret + text);
    if (!with.ok()) {
        fuzz::Require(base::Describe(with.status()).find(secret) == std::string::npos,
                      "an error does not repeat the URL");
    }
    return 0;
}
