#include "base/admin_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <vector>

#include "base/status.h"

namespace millrace::base {
namespace {

class Client final {
 public:
    explicit Client(uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
        const timeval timeout{5, 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    }
    ~Client() { ::close(fd_); }
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    void Send(const std::string& bytes) const {
        EXPECT_EQ(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
    }
    // Everything until the server closes, or `stop` was seen.
    [[nodiscard]] std::string Receive(const std::string& stop = "") const {
        std::string all;
        char buffer[4096];
        ssize_t n = 0;
        while ((n = ::recv(fd_, buffer, sizeof(buffer), 0)) > 0) {
            all.append(buffer, static_cast<size_t>(n));
            if (!stop.empty() && all.find(stop) != std::string::npos) {
                break;
            }
        }
        return all;
    }

 private:
    int fd_;
};

class AdminServerTest : public testing::Test {
 protected:
    void SetUp() override {
        auto server = AdminServer::Start("127.0.0.1", 0, metrics_, [this] { return missing_; });
        ASSERT_TRUE(server.ok()) << server.status();
        server_ = std::move(server).value();
    }

    std::string Request(const std::string& method, const std::string& path) {
        const Client client(server_->port());
        client.Send(method + " " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        return client.Receive();
    }

    std::string missing_;
    Metrics metrics_;
    std::unique_ptr<AdminServer> server_;
};

TEST_F(AdminServerTest, HealthIsAlwaysOk) {
    missing_ = "the plane key is not loaded";
    const std::string response = Request("GET", "/healthz");
    EXPECT_EQ(response.rfind("HTTP/1.1 200", 0), 0U) << response;
    EXPECT_NE(response.find("\r\n\r\nok\n"), std::string::npos) << response;
}

TEST_F(AdminServerTest, ReadinessSaysWhatIsMissing) {
    EXPECT_EQ(Request("GET", "/readyz").rfind("HTTP/1.1 200", 0), 0U);
    server_.reset();
    missing_ = "no configuration yet";
    SetUp();
    const std::string response = Request("GET", "/readyz?verbose");
    EXPECT_EQ(response.rfind("HTTP/1.1 503", 0), 0U) << response;
    EXPECT_NE(response.find("no configuration yet"), std::string::npos) << response;
}

TEST_F(AdminServerTest, MetricsAreServedInPrometheusForm) {
    metrics_.GetCounter("millrace_rows_total", "Rows.").Add(5);
    const std::string response = Request("GET", "/metrics");
    EXPECT_NE(response.find("version=0.0.4"), std::string::npos) << response;
    EXPECT_NE(response.find("\nmillrace_rows_total 5\n"), std::string::npos) << response;
}

TEST_F(AdminServerTest, OtherPathsAndMethodsAreRefused) {
    EXPECT_EQ(Request("GET", "/").rfind("HTTP/1.1 404", 0), 0U);
    EXPECT_EQ(Request("GET", "/healthz/").rfind("HTTP/1.1 404", 0), 0U);
    EXPECT_EQ(Request("POST", "/healthz").rfind("HTTP/1.1 405", 0), 0U);
}

TEST_F(AdminServerTest, HeadHasNoBody) {
    const std::string response = Request("HEAD", "/healthz");
    EXPECT_EQ(response.rfind("HTTP/1.1 200", 0), 0U) << response;
    EXPECT_EQ(response.substr(response.size() - 4), "\r\n\r\n");
}

TEST_F(AdminServerTest, OneConnectionServesSeveralRequests) {
    const Client client(server_->port());
    for (int i = 0; i < 3; ++i) {
        client.Send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        EXPECT_NE(client.Receive("ok\n").find("200 OK"), std::string::npos);
    }
}

TEST_F(AdminServerTest, EndlessHeadersAndLargeBodiesAreCutOff) {
    const Client headers(server_->port());
    headers.Send("GET /healthz HTTP/1.1\r\nX: " + std::string(20'000, 'a'));
    EXPECT_EQ(headers.Receive().find("200 OK"), std::string::npos);
    const Client body(server_->port());
    body.Send("GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + std::string(2000, 'b'));
    EXPECT_EQ(body.Receive().find("200 OK"), std::string::npos);
    EXPECT_EQ(Request("GET", "/healthz").rfind("HTTP/1.1 200", 0), 0U);
}

TEST_F(AdminServerTest, PortInUseIsNamed) {
    const auto second = AdminServer::Start("127.0.0.1", server_->port(), metrics_, {});
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_NE(Describe(second.status()).find(std::to_string(server_->port())), std::string::npos);
}

TEST_F(AdminServerTest, StopsAtOnceWhileClientsHang) {
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < 80; ++i) {
        clients.push_back(std::make_unique<Client>(server_->port()));
    }
    clients.front()->Send("GET /hea");
    const auto before = std::chrono::steady_clock::now();
    server_.reset();
    EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(2));
}

}  // namespace
}  // namespace millrace::base
