#include "base/keyed_hash.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <array>

#include "base/seal_key.h"
#include "base/status.h"

namespace millrace::base {
namespace {

constexpr size_t kKeyBytes = 32;
constexpr char kDigest[] = "SHA256";

using Mac = std::unique_ptr<EVP_MAC, seal_internal::Freed<EVP_MAC_free>>;
using MacContext = std::unique_ptr<EVP_MAC_CTX, seal_internal::Freed<EVP_MAC_CTX_free>>;
using Kdf = std::unique_ptr<EVP_KDF, seal_internal::Freed<EVP_KDF_free>>;
using KdfContext = std::unique_ptr<EVP_KDF_CTX, seal_internal::Freed<EVP_KDF_CTX_free>>;

OSSL_PARAM Octets(const char* name, std::string_view bytes) {
    return OSSL_PARAM_construct_octet_string(name, const_cast<char*>(bytes.data()), bytes.size());
}

OSSL_PARAM Digest() {
    return OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, const_cast<char*>(kDigest), 0);
}

}  // namespace

absl::StatusOr<Secret> DeriveKey(const Secret& private_pem, std::string_view purpose) {
    ASSIGN_OR_RETURN(const seal_internal::Key key, seal_internal::ReadPrivateKey(private_pem));
    unsigned char* der = nullptr;
    // The numbers of the key: how its file is wrapped does not matter.
    const int length = i2d_PrivateKey(key.get(), &der);
    if (length <= 0) {
        return seal_internal::CryptoFailure("reading the private key");
    }
    const Secret material(std::string(reinterpret_cast<const char*>(der), static_cast<size_t>(length)));
    OPENSSL_clear_free(der, static_cast<size_t>(length));
    const Kdf kdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr));
    const KdfContext context(kdf == nullptr ? nullptr : EVP_KDF_CTX_new(kdf.get()));
    const OSSL_PARAM parameters[] = {Digest(), Octets(OSSL_KDF_PARAM_KEY, material.Reveal()),
                                     Octets(OSSL_KDF_PARAM_INFO, purpose), OSSL_PARAM_construct_end()};
    std::string derived(kKeyBytes, '\0');
    if (context == nullptr || EVP_KDF_derive(context.get(), reinterpret_cast<unsigned char*>(derived.data()),
                                             derived.size(), parameters) != 1) {
        return seal_internal::CryptoFailure("deriving a key");
    }
    return Secret(std::move(derived));
}

struct KeyedHash::Impl final {
    MacContext context;
};

KeyedHash::KeyedHash(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
KeyedHash::~KeyedHash() = default;

absl::StatusOr<std::unique_ptr<KeyedHash>> KeyedHash::Make(const Secret& key) {
    const Mac mac(EVP_MAC_fetch(nullptr, "HMAC", nullptr));
    auto impl = std::make_unique<Impl>();
    impl->context.reset(mac == nullptr ? nullptr : EVP_MAC_CTX_new(mac.get()));
    const OSSL_PARAM parameters[] = {Digest(), OSSL_PARAM_construct_end()};
    const auto* bytes = reinterpret_cast<const unsigned char*>(key.Reveal().data());
    if (key.empty() || impl->context == nullptr ||
        EVP_MAC_init(impl->context.get(), bytes, key.Reveal().size(), parameters) != 1) {
        return seal_internal::CryptoFailure("setting the key of hashed columns");
    }
    return std::unique_ptr<KeyedHash>(new KeyedHash(std::move(impl)));
}

absl::Status KeyedHash::Hex(std::string_view text, char* out) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::array<unsigned char, kHexBytes / 2> hash{};
    size_t length = 0;
    EVP_MAC_CTX* const context = impl_->context.get();
    // Without a key: begins again with the one that was given.
    if (EVP_MAC_init(context, nullptr, 0, nullptr) != 1 ||
        EVP_MAC_update(context, reinterpret_cast<const unsigned char*>(text.data()), text.size()) != 1 ||
        EVP_MAC_final(context, hash.data(), &length, hash.size()) != 1 || length != hash.size()) {
        return seal_internal::CryptoFailure("hashing a value");
    }
    for (size_t i = 0; i < hash.size(); ++i) {
        out[2 * i] = kDigits[hash[i] >> 4U];
        out[2 * i + 1] = kDigits[hash[i] & 0xfU];
    }
    return absl::OkStatus();
}

}  // namespace millrace::base
