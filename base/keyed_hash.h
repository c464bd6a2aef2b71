/// HMAC-SHA256 of texts under one key, and the derivation of such keys. Not for: sealing (seal.h),
/// signatures.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/secret.h"

namespace millrace::base {

/// 32 bytes by HKDF-SHA256 from a private key (PEM): the same for the same key and `purpose`, and of no use
/// to learn the key or another purpose's bytes. InvalidArgument (SEAL_KEY): no private key.
absl::StatusOr<Secret> DeriveKey(const Secret& private_pem, std::string_view purpose);

/// One thread.
class KeyedHash final {
 public:
    static constexpr size_t kHexBytes = 64;

    /// Internal: the library refuses the key.
    static absl::StatusOr<std::unique_ptr<KeyedHash>> Make(const Secret& key);
    ~KeyedHash();
    KeyedHash(const KeyedHash&) = delete;
    KeyedHash& operator=(const KeyedHash&) = delete;

    /// Writes kHexBytes lower-case hexadecimal digits. Allocates nothing.
    absl::Status Hex(std::string_view text, char* out);

 private:
    struct Impl;
    explicit KeyedHash(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::base
