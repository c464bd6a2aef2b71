#include "base/keyed_hash.h"

#include <gtest/gtest.h>

#include "base/seal.h"

namespace millrace::base {
namespace {

std::string Hash(const Secret& key, std::string_view text) {
    std::string hex(KeyedHash::kHexBytes, '?');
    EXPECT_TRUE((*KeyedHash::Make(key))->Hex(text, hex.data()).ok());
    return hex;
}

TEST(KeyedHash, IsHmacSha256) {
    // RFC 4231, test case 2.
    EXPECT_EQ(Hash(Secret("Jefe"), "what do ya want for nothing?"),
              "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    EXPECT_EQ(Hash(Secret("k"), "").size(), KeyedHash::kHexBytes);
}

TEST(KeyedHash, OneObjectHashesManyTexts) {
    const auto hash = KeyedHash::Make(Secret("Jefe"));
    std::string first(64, '?');
    std::string second(64, '?');
    EXPECT_TRUE((*hash)->Hex("a", first.data()).ok());
    EXPECT_TRUE((*hash)->Hex("b", second.data()).ok());
    EXPECT_NE(first, second);
    EXPECT_TRUE((*hash)->Hex("a", second.data()).ok());
    EXPECT_EQ(first, second);
}

TEST(KeyedHash, KeysDependOnThePrivateKeyAndThePurpose) {
    const auto one = GenerateKeyPair();
    const auto other = GenerateKeyPair();
    ASSERT_TRUE(one.ok() && other.ok());
    const auto derived = DeriveKey(one->private_pem, "columns");
    ASSERT_TRUE(derived.ok()) << derived.status();
    EXPECT_EQ(derived->Reveal().size(), 32U);
    EXPECT_EQ(derived->Reveal(), DeriveKey(one->private_pem, "columns")->Reveal());
    EXPECT_NE(derived->Reveal(), DeriveKey(one->private_pem, "another")->Reveal());
    EXPECT_NE(derived->Reveal(), DeriveKey(other->private_pem, "columns")->Reveal());
    EXPECT_EQ(DeriveKey(Secret("no key"), "columns").status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_FALSE(KeyedHash::Make(Secret()).ok());
}

}  // namespace
}  // namespace millrace::base
