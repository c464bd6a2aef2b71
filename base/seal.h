/// Sealing of secrets to a data plane's public key: CMS AuthEnvelopedData, AES-256-GCM, RSA-OAEP-SHA256 or EC P-256
/// with SHA-256 KDF; opened by stock `openssl cms -decrypt`. Not for: signatures, TLS, storing keys.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/secret.h"

namespace millrace::base {

/// A key pair in PEM: PKCS#8 private key and SubjectPublicKeyInfo.
struct KeyPair final {
    Secret private_pem;
    std::string public_pem;
};

/// A new RSA-3072 key pair.
absl::StatusOr<KeyPair> GenerateKeyPair();

/// The pair of a private key in PEM. InvalidArgument when it is none.
absl::StatusOr<KeyPair> KeyPairFromPrivatePem(Secret private_pem);

/// "SHA256:" and 64 hex digits of the DER SubjectPublicKeyInfo.
absl::StatusOr<std::string> Fingerprint(std::string_view public_pem);

/// Seals `plain` to `public_pem` (RSA or EC P-256/P-384); returns PEM ("-----BEGIN CMS-----").
absl::StatusOr<std::string> Seal(const Secret& plain, std::string_view public_pem);

/// Opens what Seal made, or another that makes the same form of envelope (seal_form.h). Unauthenticated (reason SEAL_BROKEN)
/// when it has another form, was altered, or sealed to another key; nothing of the plain text is released then.
absl::StatusOr<Secret> Unseal(std::string_view sealed_pem, const Secret& private_pem);

}  // namespace millrace::base
