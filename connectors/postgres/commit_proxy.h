/// A TCP proxy before a PostgreSQL server that lets one COMMIT, or the answer to it, be lost, for tests.
/// Not for: encrypted connections, production code.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace millrace::postgres {

class CommitProxy final {
 public:
    enum class Fate {
        kArrives,
        /// The server never gets it, and both connections end.
        kLost,
        /// The server has committed, and its answer is lost with the connection.
        kAnswerLost,
        /// The client's connection ends at once; the server gets the COMMIT half a second later.
        kLate,
    };

    /// `target`: the server's port on this machine.
    explicit CommitProxy(uint16_t target) : target_(target), listening_(Loopback(0, /*listens=*/true)) {
        sockaddr_in address{};
        socklen_t size = sizeof(address);
        EXPECT_EQ(::getsockname(listening_, reinterpret_cast<sockaddr*>(&address), &size), 0);
        port_ = ntohs(address.sin_port);
        accepting_ = std::thread([this] { Accept(); });
    }
    ~CommitProxy() {
        stopping_ = true;
        accepting_.join();
        for (std::thread& link : links_) {
            link.join();
        }
        ::close(listening_);
    }
    CommitProxy(const CommitProxy&) = delete;
    CommitProxy& operator=(const CommitProxy&) = delete;

    [[nodiscard]] uint16_t port() const { return port_; }
    /// What becomes of the next COMMIT; those after it arrive.
    void Next(Fate fate) { fate_ = fate; }
    /// Whether a COMMIT has met the fate that was asked for last.
    [[nodiscard]] bool met() const { return fate_ == Fate::kArrives; }

 private:
    static int Loopback(uint16_t port, bool listens) {
        const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(port);
        const auto* name = reinterpret_cast<const sockaddr*>(&address);
        EXPECT_EQ(listens ? ::bind(socket, name, sizeof(address)) : ::connect(socket, name, sizeof(address)), 0);
        EXPECT_EQ(listens ? ::listen(socket, 16) : 0, 0);
        return socket;
    }

    void Accept() {
        while (!stopping_) {
            pollfd waiting{.fd = listening_, .events = POLLIN, .revents = 0};
            if (::poll(&waiting, 1, 20) == 1) {
                const int client = ::accept(listening_, nullptr, nullptr);
                links_.emplace_back([this, client] {
                    const int server = Loopback(target_, /*listens=*/false);
                    Pass(client, server);
                    ::close(client);
                    ::close(server);
                });
            }
        }
    }

    void Pass(int client, int server) {
        while (!stopping_) {
            std::array<pollfd, 2> ends{{{.fd = client, .events = POLLIN, .revents = 0},
                                        {.fd = server, .events = POLLIN, .revents = 0}}};
            ::poll(ends.data(), ends.size(), 20);
            if (ends[0].revents != 0) {
                const std::string said = Read(client);
                // A simple query: 'Q', its length in four bytes, the text, a zero.
                if (said == std::string_view("Q\0\0\0\x0b" "COMMIT\0", 12) && !met()) {
                    return Meet(fate_.exchange(Fate::kArrives), client, server, said);
                }
                if (said.empty() || !Write(server, said)) {
                    return;
                }
            }
            if (ends[1].revents != 0) {
                const std::string said = Read(server);
                if (said.empty() || !Write(client, said)) {
                    return;
                }
            }
        }
    }

    static void Meet(Fate fate, int client, int server, const std::string& commit) {
        if (fate == Fate::kLost) {
            return;
        }
        if (fate == Fate::kLate) {
            ::shutdown(client, SHUT_RDWR);
            std::this_thread::sleep_for(std::chrono::milliseconds(500));
        }
        EXPECT_TRUE(Write(server, commit));
        // Its first byte is that of CommandComplete, which comes after the commit.
        EXPECT_EQ(Read(server).substr(0, 1), "C");
    }

    static std::string Read(int socket) {
        std::string bytes(1 << 16, '\0');
        const ssize_t length = ::recv(socket, bytes.data(), bytes.size(), 0);
        bytes.resize(length > 0 ? static_cast<size_t>(length) : 0);
        return bytes;
    }
    static bool Write(int socket, std::string_view bytes) {
        while (!bytes.empty()) {
            const ssize_t length = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (length <= 0) {
                return false;
            }
            bytes.remove_prefix(static_cast<size_t>(length));
        }
        return true;
    }

    const uint16_t target_;
    const int listening_;
    uint16_t port_ = 0;
    std::atomic<bool> stopping_{false};
    std::atomic<Fate> fate_{Fate::kArrives};
    std::thread accepting_;
    std::vector<std::thread> links_;
};

}  // namespace millrace::postgres
