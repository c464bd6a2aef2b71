/// OpenSSL's objects behind RAII, and keys in PEM. Not for: anything outside base/seal*.cpp.
#pragma once

#include <openssl/bio.h>
#include <openssl/cms.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/secret.h"

namespace millrace::base::seal_internal {

template <auto kFree>
struct Freed final {
    template <typename T>
    void operator()(T* object) const {
        kFree(object);
    }
};

using Bio = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Freed<EVP_PKEY_CTX_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Cms = std::unique_ptr<CMS_ContentInfo, Freed<CMS_ContentInfo_free>>;

/// A BIO that reads `bytes`, which must outlive it.
Bio ReadBio(std::string_view bytes);
/// Everything written to a memory BIO.
std::string_view Written(const Bio& bio);

/// InvalidArgument, reason SEAL_KEY, when it is no public key in PEM.
absl::StatusOr<Key> ReadPublicKey(std::string_view pem);
/// InvalidArgument, reason SEAL_KEY, when it is no unencrypted private key in PEM.
absl::StatusOr<Key> ReadPrivateKey(const Secret& pem);

/// What Unseal does, of an envelope and a key that were read.
absl::StatusOr<Secret> Open(const Cms& envelope, const Key& key);

/// Internal; forgets OpenSSL's error queue, which may quote key material's file names.
absl::Status CryptoFailure(std::string_view what);

}  // namespace millrace::base::seal_internal
