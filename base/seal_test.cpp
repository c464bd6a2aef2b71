#include "base/seal.h"

#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <string>

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

std::string FlipByteOfDer(const std::string& pem, size_t from_end) {
    BIO* in = ::BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
    char* name = nullptr;
    char* header = nullptr;
    unsigned char* der = nullptr;
    long size = 0;
    EXPECT_EQ(::PEM_read_bio(in, &name, &header, &der, &size), 1);
    der[static_cast<size_t>(size) - from_end] ^= 1;
    BIO* out = ::BIO_new(::BIO_s_mem());
    ::PEM_write_bio(out, name, header, der, size);
    ::OPENSSL_free(name);
    ::OPENSSL_free(header);
    ::OPENSSL_free(der);
    ::BIO_free(in);
    return DrainBio(out);
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
