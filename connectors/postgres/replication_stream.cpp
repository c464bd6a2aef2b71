#include "connectors/postgres/replication_stream.h"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/status.h"
#include "base/text.h"
#include "connectors/postgres/byte_reader.h"
#include "connectors/postgres/lsn.h"
#include "connectors/postgres/pgoutput_decoder.h"
#include "connectors/postgres/slot.h"

namespace millrace::postgres {
namespace {

constexpr std::chrono::milliseconds kLongestInterval{10'000};
// Acknowledgements free log at the server; more often than this gains nothing.
constexpr std::chrono::milliseconds kShortestInterval{200};

std::string StartCommand(const ObjectNames& names, uint64_t start, int server_version) {
    const std::string publications = base::Concat(base::QuoteIdentifier(names.publication), ",",
                                                  base::QuoteIdentifier(names.append_publication));
    // Before version 14 heartbeats come as empty transactions, which serve as well.
    return base::Concat("START_REPLICATION SLOT ", base::QuoteIdentifier(names.slot), " LOGICAL ",
                        FormatLsn(start), " (\"proto_version\" '1', \"publication_names\" ",
                        base::QuoteLiteral(publications),
                        server_version >= 140000 ? ", \"messages\" 'true')" : ")");
}

// The server drops a receiver that is silent for so long; a handler may take a second, so a very short limit
// is raised.
absl::StatusOr<std::chrono::milliseconds> FeedbackInterval(base::PqConnection& connection) {
    ASSIGN_OR_RETURN(const base::PqResult result,
                     connection.Execute("SELECT setting FROM pg_settings WHERE name = 'wal_sender_timeout'"));
    int64_t timeout_ms = result.rows() == 1 ? result.GetInt(0, 0) : 0;
    if (timeout_ms > 0 && timeout_ms < 30'000) {
        RETURN_IF_ERROR(connection.Execute("SET wal_sender_timeout = '60s'").status());
        timeout_ms = 60'000;
    }
    return timeout_ms == 0 ? kLongestInterval
                           : std::min(kLongestInterval, std::chrono::milliseconds(timeout_ms / 3));
}

absl::Status StreamError(const PGresult* result, const base::PqConnection& connection,
                         const std::string& slot) {
    const char* state = result == nullptr ? nullptr : ::PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (state == nullptr) {
        return connection.LastError("reading the replication stream");
    }
    const std::string_view sqlstate = state;
    if (sqlstate == "55006") {
        return SlotActiveError(slot);
    }
    const std::string_view message = ::PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    // 58P01: a log file is gone. 55000 has other causes too, such as a lowered wal_level.
    if (sqlstate == "58P01" ||
        (sqlstate == "55000" && message.find("can no longer") != std::string_view::npos)) {
        return SlotLostError(slot);
    }
    if (sqlstate == "42704") {
        return base::MakeError(
            absl::StatusCode::kFailedPrecondition, "SLOT_MISSING",
            base::Concat("replication slot ", slot, " or one of its publications does not exist"),
            "Copy the tables anew; do not drop what the pipeline made while it exists.");
    }
    return base::Annotate(base::SqlStateToStatus(sqlstate, message),
                          base::Concat("streaming from replication slot ", slot));
}

void PutU64(std::string& bytes, uint64_t value) {
    for (int shift = 56; shift >= 0; shift -= 8) {
        bytes.push_back(static_cast<char>(value >> static_cast<unsigned>(shift)));
    }
}

}  // namespace

absl::StatusOr<std::unique_ptr<ReplicationStream>> ReplicationStream::Open(
    const base::PqParameters& parameters, const ObjectNames& names, uint64_t start) {
    ASSIGN_OR_RETURN(std::unique_ptr<base::PqConnection> connection, ConnectReplication(parameters));
    ASSIGN_OR_RETURN(const std::chrono::milliseconds interval, FeedbackInterval(*connection));
    PGresult* raw =
        ::PQexec(connection->raw(), StartCommand(names, start, connection->server_version()).c_str());
    const base::PqResult result(raw);
    if (::PQresultStatus(raw) != PGRES_COPY_BOTH) {
        return StreamError(raw, *connection, names.slot);
    }
    return std::unique_ptr<ReplicationStream>(
        new ReplicationStream(std::move(connection), names.slot, start, interval));
}

ReplicationStream::ReplicationStream(std::unique_ptr<base::PqConnection> connection, std::string slot,
                                     uint64_t start, std::chrono::milliseconds interval)
    : connection_(std::move(connection)),
      slot_(std::move(slot)),
      interval_(interval),
      received_(start),
      acknowledged_(start),
      reported_(start),
      last_feedback_(Clock::now()) {}

ReplicationStream::~ReplicationStream() {
    FreeBuffer();
}

void ReplicationStream::FreeBuffer() {
    if (buffer_ != nullptr) {
        ::PQfreemem(buffer_);
        buffer_ = nullptr;
    }
}

absl::StatusOr<Frame> ReplicationStream::Next() {
    FreeBuffer();
    const int length = ::PQgetCopyData(connection_->raw(), &buffer_, 1);
    if (length == 0) {
        if (lost_) {
            return connection_->LastError("reading the replication stream");
        }
        return Frame();
    }
    if (length < 0) {
        return Ended();
    }
    return Parse(std::string_view(buffer_, static_cast<size_t>(length)));
}

absl::StatusOr<Frame> ReplicationStream::Parse(std::string_view bytes) {
    ByteReader reader(bytes);
    Frame frame;
    const uint8_t kind = reader.U8();
    uint64_t end = 0;
    bool reply = false;
    if (kind == 'w') {
        frame.kind = Frame::Kind::kData;
        reader.U64();
        end = reader.U64();
        reader.U64();
        frame.payload = reader.rest();
    } else if (kind == 'k') {
        frame.kind = Frame::Kind::kKeepalive;
        frame.position = end = reader.U64();
        reader.U64();
        reply = reader.U8() != 0;
    }
    if (!reader.ok() || frame.kind == Frame::Kind::kNone) {
        return base::MakeError(absl::StatusCode::kDataLoss, "PGOUTPUT_MALFORMED",
                               "the replication stream carries a malformed frame", "Restart the pipeline.");
    }
    received_ = std::max(received_, end);
    if (reply) {
        RETURN_IF_ERROR(SendFeedback());
    }
    return frame;
}

absl::Status ReplicationStream::Ended() {
    PGresult* raw = ::PQgetResult(connection_->raw());
    const base::PqResult result(raw);
    if (::PQresultStatus(raw) == PGRES_FATAL_ERROR) {
        return StreamError(raw, *connection_, slot_);
    }
    // A server that shuts down in order ends the stream without an error.
    return base::MakeError(absl::StatusCode::kUnavailable, "CONNECTION_LOST",
                           base::Concat("the server ended the stream of replication slot ", slot_),
                           "Check that the server runs; the connection is made again.");
}

absl::StatusOr<bool> ReplicationStream::Wait(std::chrono::milliseconds timeout) {
    const auto until_feedback =
        std::chrono::duration_cast<std::chrono::milliseconds>(FeedbackDue() - Clock::now());
    const auto wait =
        std::clamp(timeout, std::chrono::milliseconds(0),
                   std::max(until_feedback + std::chrono::milliseconds(1), std::chrono::milliseconds(0)));
    pollfd socket{.fd = ::PQsocket(connection_->raw()), .events = POLLIN, .revents = 0};
    const int ready = ::poll(&socket, 1, static_cast<int>(wait.count()));
    if (ready < 0 && errno != EINTR) {
        return connection_->LastError("waiting for the replication stream");
    }
    if (ready <= 0) {
        return false;
    }
    // What has arrived before a failure is handed over first.
    lost_ = ::PQconsumeInput(connection_->raw()) == 0;
    return true;
}

void ReplicationStream::Acknowledge(uint64_t end) {
    acknowledged_ = std::max(acknowledged_, end);
}

ReplicationStream::Clock::time_point ReplicationStream::FeedbackDue() const {
    return last_feedback_ + (acknowledged_ > reported_ ? kShortestInterval : interval_);
}

absl::Status ReplicationStream::SendFeedbackIfDue() {
    return Clock::now() < FeedbackDue() ? absl::OkStatus() : SendFeedback();
}

absl::Status ReplicationStream::SendFeedback() {
    const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
    const int64_t now_us = std::chrono::duration_cast<std::chrono::microseconds>(since_epoch).count();
    std::string reply = "r";
    PutU64(reply, std::max(received_, acknowledged_));
    PutU64(reply, acknowledged_);
    PutU64(reply, acknowledged_);
    PutU64(reply, static_cast<uint64_t>(now_us - kPostgresEpochUs));
    reply.push_back('\0');
    if (::PQputCopyData(connection_->raw(), reply.data(), static_cast<int>(reply.size())) != 1 ||
        ::PQflush(connection_->raw()) != 0) {
        return base::MakeError(absl::StatusCode::kUnavailable, "CONNECTION_LOST",
                               base::Concat("the connection of replication slot ", slot_, " is gone"),
                               "Check that the server runs; the connection is made again.");
    }
    reported_ = acknowledged_;
    last_feedback_ = Clock::now();
    return absl::OkStatus();
}

}  // namespace millrace::postgres
