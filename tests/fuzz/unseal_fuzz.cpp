// Sealed secrets of any bytes: as PEM, and as the DER within it. Nothing but what was sealed is ever opened.
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <string>

#include "absl/strings/escaping.h"
#include "base/seal.h"
#include "base/seal_form.h"
#include "base/seal_key.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using namespace millrace;

constexpr char kPlain[] = "a password";

/// P-256, because a wrong RSA key costs a millisecond to find out.
base::KeyPair NewPair() {
    EVP_PKEY* const key = EVP_EC_gen("P-256");
    BIO* const out = BIO_new(BIO_s_mem());
    fuzz::Require(PEM_write_bio_PKCS8PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr) == 1,
                  "a key can be written");
    char* text = nullptr;
    const long size = BIO_get_mem_data(out, &text);
    base::Secret pem(std::string(text, static_cast<size_t>(size)));
    BIO_free(out);
    EVP_PKEY_free(key);
    return *base::KeyPairFromPrivatePem(std::move(pem));
}

struct Keys final {
    base::KeyPair pair = NewPair();
    // Read once: it takes longer than all the rest of an opening.
    base::seal_internal::Key private_key = *base::seal_internal::ReadPrivateKey(pair.private_pem);
    std::string sealed = *base::Seal(base::Secret(kPlain), pair.public_pem);
};

std::string DerOf(const std::string& pem) {
    std::string der;
    const size_t begin = pem.find('\n') + 1;
    absl::Base64Unescape(pem.substr(begin, pem.rfind("-----END") - begin), &der);
    return der;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const Keys keys;
    static const std::string der = DerOf(keys.sealed);
    fuzz::Input input(data, size);
    std::string pem(input.rest());
    const uint8_t kind = input.Byte();
    if (kind % 3 != 0) {
        std::string bytes;
        if (kind % 3 == 1) {
            bytes = std::string(input.rest());
        } else {
            // A true one with some bytes changed, which gets farther than any that is made up.
            bytes = der;
            while (!input.rest().empty()) {
                const size_t high = input.Byte();
                const size_t at = high << 8U | input.Byte();
                bytes[at % bytes.size()] = static_cast<char>(input.Byte());
            }
        }
        pem = "-----BEGIN CMS-----\n" + absl::Base64Escape(bytes) + "\n-----END CMS-----\n";
    }
    if (const base::seal_internal::Cms envelope = base::seal_internal::ReadEnvelope(pem)) {
        const auto opened = base::seal_internal::Open(envelope, keys.private_key);
        fuzz::Require(!opened.ok() || opened->Reveal() == kPlain, "only what was sealed is opened");
    }
    // Without a block there is no key to read, but OpenSSL sets its decoders up before it looks for one.
    if (kind % 3 == 0 && pem.find("-----BEGIN ") != std::string::npos) {
        (void)base::Fingerprint(pem);
    }
    return 0;
}
