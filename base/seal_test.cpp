#include "base/seal.h"

#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <string>

#include "base/seal_form.h"
#include "base/seal_key.h"
#include "base/status.h"

namespace millrace::base {
namespace {

constexpr char kPlain[] = "{\"password\":\"pa55 w\xC3\xB6rd\"}";

std::string DrainBio(BIO* bio) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    std::string text(data, static_cast<size_t>(size));
    ::BIO_free(bio);
    return text;
}

Secret PrivatePemOf(EVP_PKEY* key) {
    BIO* bio = ::BIO_new(::BIO_s_mem());
    ::PEM_write_bio_PKCS8PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
    ::EVP_PKEY_free(key);
    return Secret(DrainBio(bio));
}

KeyPair EcPair(const char* curve) {
    auto pair = KeyPairFromPrivatePem(PrivatePemOf(EVP_EC_gen(curve)));
    EXPECT_TRUE(pair.ok()) << pair.status();
    return std::move(pair).value();
}

KeyPair RsaPair() {
    auto pair = GenerateKeyPair();
    EXPECT_TRUE(pair.ok()) << pair.status();
    return std::move(pair).value();
}

void ExpectRoundTrip(const KeyPair& pair, const std::string& plain) {
    const auto sealed = Seal(Secret(std::string(plain)), pair.public_pem);
    ASSERT_TRUE(sealed.ok()) << sealed.status();
    EXPECT_EQ(sealed->rfind("-----BEGIN CMS-----", 0), 0U);
    const auto opened = Unseal(*sealed, pair.private_pem);
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(opened->Reveal(), plain);
}

TEST(Seal, RoundTripsWithRsaAndBothCurves) {
    ExpectRoundTrip(RsaPair(), kPlain);
    ExpectRoundTrip(EcPair("P-256"), kPlain);
    ExpectRoundTrip(EcPair("P-384"), kPlain);
}

TEST(Seal, KeepsEveryByteIncludingLineEndsAndNul) {
    const KeyPair pair = EcPair("P-256");
    ExpectRoundTrip(pair, std::string("a\r\nb\nc\0d", 8));
    ExpectRoundTrip(pair, std::string(100'000, 'x'));
    ExpectRoundTrip(pair, "");
}

TEST(Seal, TwoSealingsOfOneSecretDiffer) {
    const KeyPair pair = EcPair("P-256");
    EXPECT_NE(*Seal(Secret(std::string(kPlain)), pair.public_pem),
              *Seal(Secret(std::string(kPlain)), pair.public_pem));
}

void ExpectBroken(const absl::StatusOr<Secret>& opened) {
    ASSERT_FALSE(opened.ok());
    EXPECT_EQ(opened.status().code(), absl::StatusCode::kUnauthenticated);
    EXPECT_EQ(ReasonOf(opened.status()), "SEAL_BROKEN");
    EXPECT_EQ(Describe(opened.status()).find("pa55"), std::string::npos);
}

TEST(Seal, AnotherKeyOpensNothing) {
    const KeyPair rsa = RsaPair();
    const KeyPair ec = EcPair("P-256");
    const auto to_rsa = Seal(Secret(std::string(kPlain)), rsa.public_pem);
    const auto to_ec = Seal(Secret(std::string(kPlain)), ec.public_pem);
    ExpectBroken(Unseal(*to_rsa, RsaPair().private_pem));
    ExpectBroken(Unseal(*to_ec, EcPair("P-256").private_pem));
    ExpectBroken(Unseal(*to_rsa, ec.private_pem));
}

std::string DerOf(const std::string& pem) {
    BIO* in = ::BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
    char* name = nullptr;
    char* header = nullptr;
    unsigned char* der = nullptr;
    long size = 0;
    EXPECT_EQ(::PEM_read_bio(in, &name, &header, &der, &size), 1);
    std::string bytes(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
    ::OPENSSL_free(name);
    ::OPENSSL_free(header);
    ::OPENSSL_free(der);
    ::BIO_free(in);
    return bytes;
}

std::string PemOf(const std::string& der, const char* name = PEM_STRING_CMS, const char* header = "") {
    BIO* out = ::BIO_new(::BIO_s_mem());
    ::PEM_write_bio(out, name, header, reinterpret_cast<const unsigned char*>(der.data()), static_cast<long>(der.size()));
    return DrainBio(out);
}

std::string FlipByteOfDer(const std::string& pem, size_t from_end) {
    std::string der = DerOf(pem);
    der[der.size() - from_end] ^= 1;
    return PemOf(der);
}

TEST(Seal, OneFlippedBitOfTagOrTextIsRefused) {
    for (const KeyPair& pair : {RsaPair(), EcPair("P-256")}) {
        const auto sealed = Seal(Secret(std::string(kPlain)), pair.public_pem);
        ASSERT_TRUE(Unseal(*sealed, pair.private_pem).ok());
        // The 16-byte tag ends the message; the text stands before it.
        ExpectBroken(Unseal(FlipByteOfDer(*sealed, 1), pair.private_pem));
        ExpectBroken(Unseal(FlipByteOfDer(*sealed, 16), pair.private_pem));
        ExpectBroken(Unseal(FlipByteOfDer(*sealed, 24), pair.private_pem));
    }
}

/// An envelope of the kind `cipher`, by way of OpenSSL alone.
std::string SealedWith(const EVP_CIPHER* cipher, const KeyPair& pair) {
    const auto key = seal_internal::ReadPublicKey(pair.public_pem);
    EXPECT_TRUE(key.ok());
    X509* certificate = ::X509_new();
    ::X509_set_version(certificate, X509_VERSION_3);
    ::X509_set_pubkey(certificate, key->get());
    ::X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    ::X509_gmtime_adj(X509_getm_notAfter(certificate), 60);
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    ::X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* id = ::X509V3_EXT_conf_nid(nullptr, &context, NID_subject_key_identifier, "hash");
    ::X509_add_ext(certificate, id, -1);
    const seal_internal::Key signer(EVP_EC_gen("P-256"));
    ::X509_sign(certificate, signer.get(), ::EVP_sha256());
    const seal_internal::Cms cms(::CMS_AuthEnvelopedData_create(cipher));
    CMS_RecipientInfo* recipient = ::CMS_add1_recipient_cert(cms.get(), certificate, CMS_USE_KEYID | CMS_KEY_PARAM);
    ::EVP_PKEY_CTX_set_ecdh_kdf_md(::CMS_RecipientInfo_get0_pkey_ctx(recipient), ::EVP_sha256());
    ::CMS_set_detached(cms.get(), 0);
    const seal_internal::Bio input = seal_internal::ReadBio(kPlain);
    EXPECT_EQ(::CMS_final(cms.get(), input.get(), nullptr, CMS_BINARY), 1);
    BIO* out = ::BIO_new(::BIO_s_mem());
    ::PEM_write_bio_CMS(out, cms.get());
    ::X509_EXTENSION_free(id);
    ::X509_free(certificate);
    return DrainBio(out);
}

TEST(Seal, OnlyTheCipherThatSealsIsOpened) {
    const KeyPair pair = EcPair("P-256");
    EXPECT_TRUE(Unseal(SealedWith(::EVP_aes_256_gcm(), pair), pair.private_pem).ok());
    ExpectBroken(Unseal(SealedWith(::EVP_aes_128_gcm(), pair), pair.private_pem));
}

/// `der` with the last byte of the object identifier that ends on `from` changed.
std::string WithAlgorithm(std::string der, const std::string& from, char last) {
    const size_t at = der.find(from);
    EXPECT_NE(at, std::string::npos);
    der[at + from.size() - 1] = last;
    return der;
}

TEST(Seal, NoAlgorithmIsTakenFromTheEnvelope) {
    const std::string aes("\x60\x86\x48\x01\x65\x03\x04\x01", 8);
    const KeyPair pair = EcPair("P-256");
    const std::string der = DerOf(*Seal(Secret(std::string(kPlain)), pair.public_pem));
    ASSERT_TRUE(seal_internal::HasSealForm(der));
    ASSERT_TRUE(Unseal(PemOf(der), pair.private_pem).ok());
    // AES-256 key wrap with padding writes behind what OpenSSL has made room for, before 3.0.22.
    EXPECT_FALSE(seal_internal::HasSealForm(WithAlgorithm(der, aes + "\x2d", 48)));
    EXPECT_FALSE(seal_internal::HasSealForm(WithAlgorithm(der, aes + "\x2e", 42))) << "CBC has no tag";
    const std::string rsa = DerOf(*Seal(Secret(std::string(kPlain)), RsaPair().public_pem));
    ASSERT_TRUE(seal_internal::HasSealForm(rsa));
    const std::string pkcs1("\x2a\x86\x48\x86\xf7\x0d\x01\x01", 8);
    EXPECT_FALSE(seal_internal::HasSealForm(WithAlgorithm(rsa, pkcs1 + "\x07", 1))) << "PKCS#1 v1.5";
}

TEST(Seal, AShorterTagIsNoTag) {
    const KeyPair pair = EcPair("P-256");
    std::string der = DerOf(*Seal(Secret(std::string("x")), pair.public_pem));
    // The tag ends the message: 04 10 and 16 bytes. Four bytes of it are taken out, and out of all lengths around it.
    ASSERT_EQ(der.substr(der.size() - 18, 2), std::string("\x04\x10", 2));
    der[der.size() - 17] = 12;
    der.resize(der.size() - 4);
    EXPECT_FALSE(seal_internal::HasSealForm(der));
    EXPECT_FALSE(seal_internal::HasSealForm(DerOf(*Seal(Secret(std::string("x")), pair.public_pem)) + '\0')) << "something behind it";
}

TEST(Seal, OpeningLeavesNoErrorBehindForOtherUsersOfOpenSsl) {
    for (const KeyPair& pair : {RsaPair(), EcPair("P-256")}) {
        const auto sealed = Seal(Secret(std::string(kPlain)), pair.public_pem);
        ::ERR_clear_error();
        ASSERT_TRUE(Unseal(*sealed, pair.private_pem).ok());
        EXPECT_EQ(::ERR_peek_error(), 0U);
        ExpectBroken(Unseal(FlipByteOfDer(*sealed, 1), pair.private_pem));
        EXPECT_EQ(::ERR_peek_error(), 0U);
    }
}

TEST(Seal, EveryCutIsRefused) {
    const KeyPair pair = EcPair("P-256");
    const std::string der = DerOf(*Seal(Secret(std::string(kPlain)), pair.public_pem));
    for (size_t size = 0; size < der.size(); ++size) {
        EXPECT_FALSE(seal_internal::HasSealForm(std::string_view(der).substr(0, size))) << size;
    }
    ExpectBroken(Unseal(PemOf(der, "CERTIFICATE"), pair.private_pem));
    ExpectBroken(Unseal(PemOf(der, PEM_STRING_CMS, "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00000000000000000000000000000000\n"), pair.private_pem));
}

TEST(Seal, GarbageIsRefused) {
    const KeyPair pair = EcPair("P-256");
    ExpectBroken(Unseal("", pair.private_pem));
    ExpectBroken(Unseal("-----BEGIN CMS-----\nAAAA\n-----END CMS-----\n", pair.private_pem));
}

TEST(Seal, KeysThatCannotSealAreNamed) {
    EXPECT_EQ(ReasonOf(Seal(Secret(), "no key").status()), "SEAL_KEY");
    const auto x25519 = KeyPairFromPrivatePem(PrivatePemOf(EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519")));
    ASSERT_TRUE(x25519.ok());
    EXPECT_EQ(ReasonOf(Seal(Secret(), x25519->public_pem).status()), "SEAL_KEY");
    const auto short_rsa = KeyPairFromPrivatePem(PrivatePemOf(EVP_RSA_gen(1024)));
    ASSERT_TRUE(short_rsa.ok());
    EXPECT_EQ(ReasonOf(Seal(Secret(), short_rsa->public_pem).status()), "SEAL_KEY");
    EXPECT_EQ(ReasonOf(KeyPairFromPrivatePem(Secret(std::string("junk"))).status()), "SEAL_KEY");
}

TEST(KeyPair, PublicHalfFollowsFromThePrivateOne) {
    const KeyPair pair = RsaPair();
    const auto again = KeyPairFromPrivatePem(pair.private_pem);
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(again->public_pem, pair.public_pem);
}

TEST(Fingerprint, IsTheSha256OfTheDerKey) {
    constexpr char kPublic[] =
        "-----BEGIN PUBLIC KEY-----\n"
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEGH4MdoOLHvNrv4kokxHVmqd3bTk/\n"
        "d2Ybr1bruna8CDpiZUN0DB2PVFmhPTuuk55IYNiKcJIg5remA6lWiWNT0g==\n"
        "-----END PUBLIC KEY-----\n";
    const auto fingerprint = Fingerprint(kPublic);
    ASSERT_TRUE(fingerprint.ok()) << fingerprint.status();
    EXPECT_EQ(*fingerprint, "SHA256:6ef42748a9c88ad7dae645d922abdcc16c07e7dbb8ecc42d125fdcb4cf4d5c3d");
    EXPECT_FALSE(Fingerprint("junk").ok());
}

}  // namespace
}  // namespace millrace::base
