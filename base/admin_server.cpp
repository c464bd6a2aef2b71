// One thread runs the context: its handlers need no fences, which ThreadSanitizer does not understand.
#define BOOST_ASIO_DISABLE_FENCED_BLOCK
#include "base/admin_server.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "base/failpoint.h"
#include "base/status.h"
#include "base/text.h"

namespace millrace::base {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using tcp = asio::ip::tcp;
using ErrorCode = boost::system::error_code;

constexpr std::chrono::seconds kRequestTimeout{10};
constexpr std::chrono::milliseconds kAcceptPause{100};
constexpr uint32_t kHeaderLimit = 8 * 1024;
constexpr uint64_t kBodyLimit = 1024;
constexpr int kMaxConnections = 64;

struct Pages final {
    const Metrics& metrics;
    AdminServer::Readiness readiness;
    int connections = 0;
};

struct Page final {
    http::status status = http::status::ok;
    std::string type = "text/plain; charset=utf-8";
    std::string body;
};

Page Render(const Pages& pages, std::string_view path) {
    if (path == "/healthz") {
        return {.body = "ok\n"};
    }
    if (path == "/readyz") {
        const std::string missing = pages.readiness ? pages.readiness() : "";
        return missing.empty() ? Page{.body = "ok\n"}
                               : Page{.status = http::status::service_unavailable, .body = missing + "\n"};
    }
#ifdef MILLRACE_FAILPOINTS
    if (path == "/failpoints") {
        return {.type = "text/plain; charset=utf-8", .body = RenderFailpoints()};
    }
#endif
    if (path == "/metrics") {
        return {.type = "text/plain; version=0.0.4; charset=utf-8", .body = pages.metrics.Render()};
    }
    return {.status = http::status::not_found, .body = "not found\n"};
}

// One connection; lives as long as one of its handlers is pending.
class Session final : public std::enable_shared_from_this<Session> {
 public:
    Session(tcp::socket socket, Pages& pages) : stream_(std::move(socket)), pages_(pages) {
        ++pages_.connections;
    }
    ~Session() { --pages_.connections; }
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    void Read() {
        parser_.emplace();
        parser_->header_limit(kHeaderLimit);
        parser_->body_limit(kBodyLimit);
        stream_.expires_after(kRequestTimeout);
        http::async_read(
            stream_, buffer_, *parser_,
            [self = shared_from_this()](ErrorCode error, size_t /*bytes*/) { self->OnRead(error); });
    }

 private:
    void OnRead(ErrorCode error) {
        if (error) {
            Close();
            return;
        }
        const auto& request = parser_->get();
        const bool readable = request.method() == http::verb::get || request.method() == http::verb::head;
        const std::string_view target(request.target().data(), request.target().size());
        Page page = readable ? Render(pages_, target.substr(0, target.find('?')))
                             : Page{.status = http::status::method_not_allowed, .body = "GET only\n"};
        response_ = {page.status, request.version()};
        response_.set(http::field::content_type, page.type);
        response_.set(http::field::cache_control, "no-store");
        response_.keep_alive(request.keep_alive());
        response_.body() = std::move(page.body);
        response_.prepare_payload();
        if (request.method() == http::verb::head) {
            response_.body().clear();
        }
        stream_.expires_after(kRequestTimeout);
        http::async_write(
            stream_, response_,
            [self = shared_from_this()](ErrorCode failed, size_t /*bytes*/) { self->OnWrite(failed); });
    }

    void OnWrite(ErrorCode error) {
        if (error || !response_.keep_alive()) {
            Close();
        } else {
            Read();
        }
    }

    void Close() {
        ErrorCode ignored;
        stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    }

    beast::tcp_stream stream_;
    Pages& pages_;
    beast::flat_buffer buffer_{kHeaderLimit + kBodyLimit};
    std::optional<http::request_parser<http::string_body>> parser_;
    http::response<http::string_body> response_;
};

}  // namespace

struct AdminServer::Impl final {
    Impl(const Metrics& metrics, Readiness readiness) : pages{metrics, std::move(readiness)} {}

    ~Impl() {
        context.stop();
        if (thread.joinable()) {
            thread.join();
        }
    }

    absl::Status Listen(const std::string& host, uint16_t port) {
        const auto failure = [&](const ErrorCode& error) {
            return MakeError(
                absl::StatusCode::kUnavailable, "ADMIN_ADDRESS",
                Concat("cannot serve health and metrics on ", host, ":", port, ": ", error.message()),
                "Choose another address or port, or stop what uses it.");
        };
        ErrorCode error;
        tcp::resolver resolver(context);
        const auto found = resolver.resolve(host, std::to_string(port), tcp::resolver::passive, error);
        if (error || found.empty()) {
            return failure(error);
        }
        const tcp::endpoint endpoint = found.begin()->endpoint();
        acceptor.open(endpoint.protocol(), error);
        if (!error) {
            acceptor.set_option(asio::socket_base::reuse_address(true), error);
        }
        if (!error) {
            acceptor.bind(endpoint, error);
        }
        if (!error) {
            acceptor.listen(asio::socket_base::max_listen_connections, error);
        }
        return error ? failure(error) : absl::OkStatus();
    }

    void Accept() {
        if (pages.connections >= kMaxConnections) {
            Pause();
            return;
        }
        acceptor.async_accept([this](ErrorCode error, tcp::socket socket) {
            if (error) {
                // Out of descriptors, most likely: trying again at once would spin.
                Pause();
                return;
            }
            std::make_shared<Session>(std::move(socket), pages)->Read();
            Accept();
        });
    }

    void Pause() {
        timer.expires_after(kAcceptPause);
        timer.async_wait([this](ErrorCode error) {
            if (!error) {
                Accept();
            }
        });
    }

    // Before the context: destroying that destroys pending sessions, which count down here.
    Pages pages;
    asio::io_context context{1};
    tcp::acceptor acceptor{context};
    asio::steady_timer timer{context};
    std::thread thread;
};

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::Start(const std::string& host, uint16_t port,
                                                                const Metrics& metrics, Readiness readiness) {
    auto impl = std::make_unique<Impl>(metrics, std::move(readiness));
    RETURN_IF_ERROR(impl->Listen(host, port));
    impl->Accept();
    impl->thread = std::thread([context = &impl->context] { context->run(); });
    return std::unique_ptr<AdminServer>(new AdminServer(std::move(impl)));
}

AdminServer::AdminServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AdminServer::~AdminServer() = default;

uint16_t AdminServer::port() const {
    ErrorCode ignored;
    return impl_->acceptor.local_endpoint(ignored).port();
}

}  // namespace millrace::base
