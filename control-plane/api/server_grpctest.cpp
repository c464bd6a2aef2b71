#include <gmock/gmock.h>
#include <grpcpp/impl/codegen/client_unary_call.h>
#include <grpcpp/impl/codegen/sync_stream.h>
#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/seal.h"
#include "base/status.h"
#include "control-plane/api/grpc_fixture.h"

namespace millrace::api {
namespace {

using testing::HasSubstr;

grpc::ByteBuffer Bytes(const std::string& text) {
    const grpc::Slice slice(text);
    return {&slice, 1};
}

std::string Text(const grpc::ByteBuffer& bytes) {
    std::vector<grpc::Slice> slices;
    EXPECT_TRUE(bytes.Dump(&slices).ok());
    std::string text;
    for (const grpc::Slice& slice : slices) {
        text.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    }
    return text;
}

/// A certificate for "localhost", signed with its own key.
std::string SelfSigned(const base::Secret& private_pem) {
    BIO* in = BIO_new_mem_buf(private_pem.Reveal().data(), static_cast<int>(private_pem.Reveal().size()));
    EVP_PKEY* key = PEM_read_bio_PrivateKey(in, nullptr, nullptr, nullptr);
    X509* certificate = X509_new();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME* name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("localhost"),
                               -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_sign(certificate, key, EVP_sha256());
    BIO* out = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(out, certificate);
    char* data = nullptr;
    const auto size = static_cast<size_t>(BIO_get_mem_data(out, &data));
    std::string pem(data, size);
    BIO_free(out);
    X509_free(certificate);
    EVP_PKEY_free(key);
    BIO_free(in);
    return pem;
}

TEST(ServerTest, HealthAndReflectionNeedNoToken) {
    ControlPlane control;
    const auto channel = control.Connect();
    grpc::ClientContext health;
    grpc::ByteBuffer answer;
    const grpc::internal::RpcMethod check("/grpc.health.v1.Health/Check",
                                          grpc::internal::RpcMethod::NORMAL_RPC);
    const auto checked = grpc::internal::BlockingUnaryCall(channel.get(), check, &health, Bytes(""), &answer);
    ASSERT_TRUE(checked.ok()) << checked.error_message();
    // HealthCheckResponse{status: SERVING}.
    EXPECT_EQ(Text(answer), "\x08\x01");

    grpc::ClientContext reflection;
    const grpc::internal::RpcMethod info("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                                         grpc::internal::RpcMethod::BIDI_STREAMING);
    const std::unique_ptr<grpc::ClientReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>> stream(
        grpc::internal::ClientReaderWriterFactory<grpc::ByteBuffer, grpc::ByteBuffer>::Create(
            channel.get(), info, &reflection));
    // ServerReflectionRequest{list_services: "*"}.
    stream->Write(Bytes("\x3a\x01*"));
    ASSERT_TRUE(stream->Read(&answer));
    EXPECT_THAT(Text(answer), HasSubstr("millrace.v1.PipelineService"));
    EXPECT_THAT(Text(answer), HasSubstr("millrace.v1.DataPlaneLinkService"));
    stream->WritesDone();
    EXPECT_TRUE(stream->Finish().ok());
}

TEST(ServerTest, ShutdownEndsLinksAndWatchesWithinSeconds) {
    ControlPlane control;
    FakeWorker worker(control.Connect(), {});
    worker.AwaitSnapshot(0);
    const auto begun = std::chrono::steady_clock::now();
    control.server().Shutdown();
    EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(5));
    EXPECT_EQ(worker.AwaitEnd().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST(ServerTest, SpeaksTlsAndRefusesATakenPort) {
    ControlPlane control;
    const auto pair = base::GenerateKeyPair().value();
    ServerOptions options;
    options.listen = "127.0.0.1:0";
    options.tls_certificate = SelfSigned(pair.private_pem);
    options.tls_key = pair.private_pem;
    base::Metrics metrics;
    const auto hub = session::Hub::Start(control.store(), metrics, {}).value();
    auto server = Server::Start(control.store(), *hub, metrics, options);
    ASSERT_TRUE(server.ok()) << server.status();

    grpc::SslCredentialsOptions trust;
    trust.pem_root_certs = options.tls_certificate;
    grpc::ChannelArguments arguments;
    arguments.SetSslTargetNameOverride("localhost");
    const std::string address = "127.0.0.1:" + std::to_string((*server)->port());
    Client client(grpc::CreateCustomChannel(address, grpc::SslCredentials(trust), arguments));
    EXPECT_TRUE(client.GetPlane().ok()) << client.last_status().error_message();
    Client plain(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
    EXPECT_FALSE(plain.GetPlane().ok());

    options.listen = address;
    const auto second = Server::Start(control.store(), *hub, metrics, options);
    EXPECT_EQ(base::ReasonOf(second.status()), "LISTEN_FAILED");
    EXPECT_THAT(std::string(second.status().message()), HasSubstr(address));
}

}  // namespace
}  // namespace millrace::api
