/// What options a connector takes and how a configuration's strings are read as them.
/// Not for: sealing (base/seal.h), defaults of pipelines (data-plane/config).
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/byte_count.h"
#include "base/secret.h"

namespace millrace::sdk {

struct OptionSpec final {
    enum class Kind { kString = 1, kInteger = 2, kBoolean = 3, kDuration = 4, kBytes = 5, kChoice = 6 };
    /// Where a connection URL carries it; numbers of OptionDescriptor.UrlPart.
    enum class UrlPart { kNone = 0, kHost = 1, kPort = 2, kUser = 3, kPassword = 4, kDatabase = 5, kPath = 6 };

    std::string name;
    Kind kind = Kind::kString;
    bool required = false;
    bool secret = false;
    std::string default_value = {};
    std::string documentation = {};
    UrlPart url_part = UrlPart::kNone;
    std::vector<std::string> choices = {};
};

/// A configuration's options for one connector: clear ones and, apart from them, unsealed secrets.
struct Options final {
    std::map<std::string, std::string> values;
    std::map<std::string, base::Secret> secrets;

    /// "" when absent and without default: run CheckOptions first, which fills defaults in.
    [[nodiscard]] std::string String(const std::string& name) const;
    [[nodiscard]] int64_t Integer(const std::string& name) const;
    [[nodiscard]] bool Boolean(const std::string& name) const;
    /// "250ms", "5s", "2m", "1h".
    [[nodiscard]] std::chrono::milliseconds Duration(const std::string& name) const;
    /// "512", "64kB", "16MB", "1GB".
    [[nodiscard]] base::ByteCount Bytes(const std::string& name) const;
    /// An empty Secret when absent.
    [[nodiscard]] base::Secret GetSecret(const std::string& name) const;
};

/// Fills defaults in and reports *all* problems in one InvalidArgument (reason OPTION_UNKNOWN, OPTION_MISSING or
/// OPTION_INVALID of the first): unknown options (with the nearest known name), missing required ones, values that do not
/// parse, secrets given in clear.
absl::Status CheckOptions(const std::string& connector, const std::vector<OptionSpec>& specs, Options& options);

absl::StatusOr<std::chrono::milliseconds> ParseDuration(std::string_view text);
absl::StatusOr<base::ByteCount> ParseBytes(std::string_view text);

}  // namespace millrace::sdk
