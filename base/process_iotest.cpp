// What base leaves to the system: signals, and messages that stock openssl must open and we must open from
// it.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/file.h"
#include "base/seal.h"
#include "base/signals.h"

namespace millrace::base {
namespace {

// Runs `body` in a child, where blocked signals do not outlive the test; returns its exit code.
template <typename Body>
int InChild(Body&& body) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::_exit(body());
    }
    int state = 0;
    EXPECT_EQ(::waitpid(child, &state, 0), child);
    return WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
}

TEST(Signals, WaitReturnsTheSignalThatCame) {
    for (const int signal : {SIGTERM, SIGINT}) {
        EXPECT_EQ(InChild([signal] {
                      BlockShutdownSignals();
                      ::kill(::getpid(), signal);
                      return WaitForShutdownSignal(std::chrono::seconds(5));
                  }),
                  signal);
    }
}

TEST(Signals, WaitEndsWithItsTimeout) {
    EXPECT_EQ(InChild([] {
                  BlockShutdownSignals();
                  return WaitForShutdownSignal(std::chrono::milliseconds(20));
              }),
              0);
}

TEST(Signals, BrokenPipeDoesNotKill) {
    EXPECT_EQ(InChild([] {
                  BlockShutdownSignals();
                  int ends[2];
                  if (::pipe(ends) != 0) {
                      return 1;
                  }
                  ::close(ends[0]);
                  return ::write(ends[1], "x", 1) == -1 ? 7 : 2;
              }),
              7);
}

class OpensslTest : public testing::TestWithParam<const char*> {
 protected:
    void SetUp() override {
        std::string pattern = (std::filesystem::temp_directory_path() / "millrace-seal-XXXXXX").string();
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        folder_ = pattern;
        ASSERT_EQ(Run(std::string("openssl genpkey ") + GetParam() + " -out key"), 0);
        ASSERT_EQ(Run("openssl pkey -in key -pubout -out pub"), 0);
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }

    [[nodiscard]] int Run(const std::string& command) const {
        const int state = std::system(("cd " + folder_.string() + " && " + command + " 2>>log").c_str());
        return WIFEXITED(state) ? WEXITSTATUS(state) : -1;
    }
    [[nodiscard]] std::string Text(const char* name) const { return ReadFile(folder_ / name).value(); }

    std::filesystem::path folder_;
};

TEST_P(OpensslTest, StockOpensslOpensWhatWeSeal) {
    const std::string plain = "{\"password\":\"pa55\"}\r\n";
    const auto sealed = Seal(Secret(std::string(plain)), Text("pub"));
    ASSERT_TRUE(sealed.ok()) << sealed.status();
    ASSERT_TRUE(WriteFileAtomically(folder_ / "sealed", *sealed).ok());
    ASSERT_EQ(Run("openssl cms -decrypt -binary -inform PEM -in sealed -inkey key -out opened"), 0)
        << Text("log");
    EXPECT_EQ(Text("opened"), plain);
    ASSERT_EQ(Run("openssl cms -cmsout -print -inform PEM -in sealed >printed"), 0);
    const std::string printed = Text("printed");
    EXPECT_NE(printed.find("authEnvelopedData"), std::string::npos);
    EXPECT_NE(printed.find("aes-256-gcm"), std::string::npos);
    // SHA-1 would be OpenSSL's default for both kinds of keys.
    EXPECT_NE(printed.find("sha256"), std::string::npos) << printed;
    EXPECT_EQ(printed.find("sha1"), std::string::npos) << printed;
    EXPECT_EQ(printed.find("issuerAndSerialNumber"), std::string::npos) << printed;
}

TEST_P(OpensslTest, WeOpenWhatStockOpensslSeals) {
    const bool rsa = std::string(GetParam()).find("RSA") != std::string::npos;
    ASSERT_EQ(Run("openssl req -x509 -key key -subj /CN=plane -days 1 -out certificate"), 0);
    ASSERT_TRUE(WriteFileAtomically(folder_ / "plain", "from the command line").ok());
    ASSERT_EQ(
        Run(std::string("openssl cms -encrypt -binary -aes-256-gcm -keyid -in plain -outform PEM -out sealed "
                        "-recip certificate ") +
            (rsa ? "-keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256 -keyopt rsa_mgf1_md:sha256"
                 : "-keyopt ecdh_kdf_md:sha256")),
        0)
        << Text("log");
    const auto opened = Unseal(Text("sealed"), Secret(Text("key")));
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(opened->Reveal(), "from the command line");
}

TEST_P(OpensslTest, EnvelopeWithoutAuthenticationIsRefused) {
    ASSERT_EQ(Run("openssl req -x509 -key key -subj /CN=plane -days 1 -out certificate"), 0);
    ASSERT_TRUE(WriteFileAtomically(folder_ / "plain", "unauthenticated").ok());
    ASSERT_EQ(Run("openssl cms -encrypt -binary -aes-256-cbc -in plain -outform PEM -out sealed -recip "
                  "certificate"),
              0);
    ASSERT_EQ(Run("openssl cms -decrypt -binary -inform PEM -in sealed -inkey key -out opened"), 0);
    EXPECT_FALSE(Unseal(Text("sealed"), Secret(Text("key"))).ok());
}

INSTANTIATE_TEST_SUITE_P(Keys, OpensslTest,
                         testing::Values("-algorithm RSA -pkeyopt rsa_keygen_bits:3072",
                                         "-algorithm EC -pkeyopt ec_paramgen_curve:P-256",
                                         "-algorithm EC -pkeyopt ec_paramgen_curve:P-384"));

}  // namespace
}  // namespace millrace::base
