#include "base/seal_key.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>

#include <array>
#include <cstdio>

#include "absl/strings/escaping.h"
#include "base/seal.h"
#include "base/status.h"
#include "base/text.h"

namespace millrace::base {
namespace seal_internal {
namespace {

// Without it OpenSSL would ask for the passphrase of an encrypted key on the terminal.
int NoPassphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*context*/) {
    return -1;
}

}  // namespace

Bio ReadBio(std::string_view bytes) {
    return Bio(::BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}

std::string_view Written(const Bio& bio) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &data);
    return size <= 0 ? std::string_view() : std::string_view(data, static_cast<size_t>(size));
}

absl::Status CryptoFailure(std::string_view what) {
    ::ERR_clear_error();
    return MakeError(absl::StatusCode::kInternal, "CRYPTO", Concat(what, " failed in OpenSSL"));
}

absl::StatusOr<Key> ReadPublicKey(std::string_view pem) {
    const Bio bio = ReadBio(pem);
    Key key(::PEM_read_bio_PUBKEY(bio.get(), nullptr, NoPassphrase, nullptr));
    ::ERR_clear_error();
    if (!key) {
        return MakeError(absl::StatusCode::kInvalidArgument, "SEAL_KEY", "the public key is not in PEM form",
                         "Make it with openssl pkey -in KEY -pubout.");
    }
    return key;
}

absl::StatusOr<Key> ReadPrivateKey(const Secret& pem) {
    const Bio bio = ReadBio(pem.Reveal());
    Key key(::PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
    ::ERR_clear_error();
    if (!key) {
        return MakeError(absl::StatusCode::kInvalidArgument, "SEAL_KEY",
                         "the private key is not in unencrypted PEM form", "Make it with openssl genpkey.");
    }
    return key;
}

}  // namespace seal_internal

namespace {

using seal_internal::Bio;
using seal_internal::CryptoFailure;
using seal_internal::Key;

absl::StatusOr<std::string> PublicPem(const Key& key) {
    const Bio bio(::BIO_new(::BIO_s_mem()));
    if (::PEM_write_bio_PUBKEY(bio.get(), key.get()) != 1) {
        return CryptoFailure("writing the public key");
    }
    return std::string(seal_internal::Written(bio));
}

}  // namespace

absl::StatusOr<KeyPair> GenerateKeyPair() {
    const Key key(EVP_RSA_gen(3072));
    if (!key) {
        return CryptoFailure("making a key pair");
    }
    // Secure-heap form: its memory is cleansed when it is freed.
    const Bio bio(::BIO_new(::BIO_s_secmem()));
    if (::PEM_write_bio_PKCS8PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
        return CryptoFailure("writing the private key");
    }
    KeyPair pair;
    pair.private_pem = Secret(std::string(seal_internal::Written(bio)));
    ASSIGN_OR_RETURN(pair.public_pem, PublicPem(key));
    return pair;
}

absl::StatusOr<KeyPair> KeyPairFromPrivatePem(Secret private_pem) {
    ASSIGN_OR_RETURN(const Key key, seal_internal::ReadPrivateKey(private_pem));
    KeyPair pair;
    ASSIGN_OR_RETURN(pair.public_pem, PublicPem(key));
    pair.private_pem = std::move(private_pem);
    return pair;
}

absl::StatusOr<std::string> Fingerprint(std::string_view public_pem) {
    ASSIGN_OR_RETURN(const Key key, seal_internal::ReadPublicKey(public_pem));
    const Bio bio(::BIO_new(::BIO_s_mem()));
    if (::i2d_PUBKEY_bio(bio.get(), key.get()) != 1) {
        return CryptoFailure("encoding the public key");
    }
    const std::string_view der = seal_internal::Written(bio);
    std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
    ::SHA256(reinterpret_cast<const unsigned char*>(der.data()), der.size(), digest.data());
    return Concat("SHA256:", absl::BytesToHexString(absl::string_view(
                                 reinterpret_cast<const char*>(digest.data()), digest.size())));
}

}  // namespace millrace::base
