#include "base/seal.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "base/seal_form.h"
#include "base/seal_key.h"
#include "base/status.h"

namespace millrace::base {
namespace {

using seal_internal::Bio;
using seal_internal::Certificate;
using seal_internal::Cms;
using seal_internal::CryptoFailure;
using seal_internal::Key;
using seal_internal::ReadBio;

bool AddSubjectKeyId(X509* certificate) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    ::X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* extension = ::X509V3_EXT_conf_nid(nullptr, &context, NID_subject_key_identifier, "hash");
    const bool added = extension != nullptr && ::X509_add_ext(certificate, extension, -1) == 1;
    ::X509_EXTENSION_free(extension);
    return added;
}

// CMS takes recipients as certificates only. This one carries a bare key and its identifier, is signed by a
// key that is forgotten at once, and never leaves the process.
absl::StatusOr<Certificate> CertificateFor(const Key& key) {
    const Key signer(EVP_EC_gen("P-256"));
    Certificate certificate(::X509_new());
    if (!signer || !certificate || ::X509_set_version(certificate.get(), X509_VERSION_3) != 1 ||
        ::ASN1_INTEGER_set(::X509_get_serialNumber(certificate.get()), 1) != 1 ||
        ::X509_gmtime_adj(X509_getm_notBefore(certificate.get()), 0) == nullptr ||
        ::X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600) == nullptr ||
        ::X509_set_pubkey(certificate.get(), key.get()) != 1 || !AddSubjectKeyId(certificate.get()) ||
        ::X509_sign(certificate.get(), signer.get(), ::EVP_sha256()) <= 0) {
        return CryptoFailure("preparing the recipient");
    }
    return certificate;
}

absl::Status AddRecipient(const Cms& cms, const Key& key) {
    const bool rsa = ::EVP_PKEY_is_a(key.get(), "RSA") == 1;
    if (!rsa && ::EVP_PKEY_is_a(key.get(), "EC") != 1) {
        return MakeError(absl::StatusCode::kInvalidArgument, "SEAL_KEY",
                         "the public key is neither RSA nor EC", "Make an RSA-3072 or EC P-256 key pair.");
    }
    if (rsa && ::EVP_PKEY_get_bits(key.get()) < 2048) {
        return MakeError(absl::StatusCode::kInvalidArgument, "SEAL_KEY",
                         "the RSA public key is shorter than 2048 bits",
                         "Make an RSA-3072 or EC P-256 key pair.");
    }
    ASSIGN_OR_RETURN(const Certificate certificate, CertificateFor(key));
    CMS_RecipientInfo* recipient =
        ::CMS_add1_recipient_cert(cms.get(), certificate.get(), CMS_USE_KEYID | CMS_KEY_PARAM);
    EVP_PKEY_CTX* context = recipient == nullptr ? nullptr : ::CMS_RecipientInfo_get0_pkey_ctx(recipient);
    if (context == nullptr) {
        return CryptoFailure("adding the recipient");
    }
    // The defaults are PKCS#1 v1.5 and SHA-1.
    const bool set = rsa ? ::EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) > 0 &&
                               ::EVP_PKEY_CTX_set_rsa_oaep_md(context, ::EVP_sha256()) > 0 &&
                               ::EVP_PKEY_CTX_set_rsa_mgf1_md(context, ::EVP_sha256()) > 0
                         : ::EVP_PKEY_CTX_set_ecdh_kdf_md(context, ::EVP_sha256()) > 0;
    return set ? absl::OkStatus() : CryptoFailure("setting the recipient's algorithms");
}

absl::Status Broken() {
    ::ERR_clear_error();
    return MakeError(absl::StatusCode::kUnauthenticated, "SEAL_BROKEN",
                     "the sealed secret was altered or sealed to another key",
                     "Seal it again to this data plane's current public key.");
}

}  // namespace

absl::StatusOr<std::string> Seal(const Secret& plain, std::string_view public_pem) {
    ASSIGN_OR_RETURN(const Key key, seal_internal::ReadPublicKey(public_pem));
    const Cms cms(::CMS_AuthEnvelopedData_create(::EVP_aes_256_gcm()));
    if (!cms) {
        return CryptoFailure("starting the envelope");
    }
    RETURN_IF_ERROR(AddRecipient(cms, key));
    // Otherwise the written envelope has no content.
    ::CMS_set_detached(cms.get(), 0);
    const Bio input = ReadBio(plain.Reveal());
    const Bio output(::BIO_new(::BIO_s_mem()));
    if (::CMS_final(cms.get(), input.get(), nullptr, CMS_BINARY) != 1 ||
        ::PEM_write_bio_CMS(output.get(), cms.get()) != 1) {
        return CryptoFailure("sealing");
    }
    return std::string(seal_internal::Written(output));
}

absl::StatusOr<Secret> Unseal(std::string_view sealed_pem, const Secret& private_pem) {
    const Cms cms = seal_internal::ReadEnvelope(sealed_pem);
    if (!cms) {
        return Broken();
    }
    // After the envelope: reading a key costs a millisecond.
    ASSIGN_OR_RETURN(const Key key, seal_internal::ReadPrivateKey(private_pem));
    return seal_internal::Open(cms, key);
}

absl::StatusOr<Secret> seal_internal::Open(const Cms& envelope, const Key& key) {
    const Bio output(::BIO_new(::BIO_s_secmem()));
    if (::CMS_decrypt(envelope.get(), key.get(), nullptr, nullptr, output.get(), CMS_BINARY) != 1) {
        return Broken();
    }
    return Secret(std::string(seal_internal::Written(output)));
}

}  // namespace millrace::base
