#include "base/pq.h"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "base/pq_error.h"
#include "base/status.h"
#include "base/text.h"

namespace millrace::base {
namespace {

using Clock = std::chrono::steady_clock;

void DropNotice(void* /*context*/, const PGresult* /*result*/) {}

// A dead server is noticed in about half a minute while nothing is sent, in two minutes while it owes
// acknowledgements. Not sooner: that limit also ends connections whose server is alive but too busy to read.
const std::map<std::string, std::string>& DefaultKeywords() {
    static const std::map<std::string, std::string> kDefaults = {
        {"application_name", "millrace"}, {"connect_timeout", "10"},    {"keepalives", "1"},
        {"keepalives_idle", "10"},        {"keepalives_interval", "5"}, {"keepalives_count", "4"},
        {"tcp_user_timeout", "120000"},   {"client_encoding", "UTF8"},
    };
    return kDefaults;
}

pg_conn* StartConnection(const std::map<std::string, std::string>& keywords, const Secret& password) {
    std::vector<const char*> names;
    std::vector<const char*> values;
    for (const auto& [name, value] : keywords) {
        names.push_back(name.c_str());
        values.push_back(value.c_str());
    }
    if (!password.empty()) {
        names.push_back("password");
        values.push_back(password.Reveal().c_str());
    }
    names.push_back(nullptr);
    values.push_back(nullptr);
    return ::PQconnectStartParams(names.data(), values.data(), 0);
}

// False when `deadline` passes first.
bool WaitForSocket(pg_conn* connection, PostgresPollingStatusType wanted, Clock::time_point deadline) {
    while (true) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
        if (left <= 0) {
            return false;
        }
        pollfd socket{};
        socket.fd = ::PQsocket(connection);
        socket.events = wanted == PGRES_POLLING_READING ? POLLIN : POLLOUT;
        const int ready = ::poll(&socket, 1, static_cast<int>(std::min<int64_t>(left, 60'000)));
        if (ready > 0 || (ready < 0 && errno != EINTR)) {
            return true;
        }
    }
}

enum class Outcome { kConnected, kFailed, kTimedOut };

Outcome FinishConnection(pg_conn* connection, Clock::time_point deadline) {
    PostgresPollingStatusType wanted = PGRES_POLLING_WRITING;
    while (true) {
        if (::PQstatus(connection) == CONNECTION_BAD) {
            return Outcome::kFailed;
        }
        if (!WaitForSocket(connection, wanted, deadline)) {
            return Outcome::kTimedOut;
        }
        wanted = ::PQconnectPoll(connection);
        if (wanted == PGRES_POLLING_OK) {
            return Outcome::kConnected;
        }
        if (wanted == PGRES_POLLING_FAILED) {
            return Outcome::kFailed;
        }
    }
}

bool Succeeded(const PGresult* result) {
    switch (::PQresultStatus(result)) {
        case PGRES_COMMAND_OK:
        case PGRES_TUPLES_OK:
        case PGRES_EMPTY_QUERY:
        case PGRES_COPY_IN:
        case PGRES_COPY_OUT:
        case PGRES_COPY_BOTH:
            return true;
        default:
            return false;
    }
}

class Writer final : public PqConnection::CopyWriter {
 public:
    explicit Writer(PqConnection& connection) : connection_(connection) {}

    absl::Status Put(std::string_view data) override {
        // libpq counts in int.
        constexpr size_t kPiece = 1 << 20;
        while (!data.empty()) {
            const std::string_view piece = data.substr(0, kPiece);
            if (::PQputCopyData(connection_.raw(), piece.data(), static_cast<int>(piece.size())) != 1) {
                return connection_.LastError("sending COPY data");
            }
            data.remove_prefix(piece.size());
        }
        return absl::OkStatus();
    }

 private:
    PqConnection& connection_;
};

// Reads results until the command is over; the first error stands.
absl::StatusOr<int64_t> DrainResults(pg_conn* connection) {
    absl::Status status;
    int64_t affected = 0;
    while (PGresult* raw = ::PQgetResult(connection)) {
        const PqResult result(raw);
        if (!Succeeded(raw)) {
            status.Update(pq_internal::ResultFailure(raw, connection));
        } else if (::PQresultStatus(raw) == PGRES_COMMAND_OK) {
            affected = result.affected();
        } else if (::PQresultStatus(raw) == PGRES_COPY_OUT) {
            // A COPY that was given up: what is left must be read before the connection can go on.
            char* data = nullptr;
            while (::PQgetCopyData(connection, &data, 0) > 0) {
                ::PQfreemem(data);
            }
        }
        if (::PQstatus(connection) == CONNECTION_BAD) {
            break;
        }
    }
    if (!status.ok()) {
        return status;
    }
    return affected;
}

}  // namespace

PqResult::PqResult(pg_result* result) : result_(result, ::PQclear) {}

int PqResult::rows() const {
    return ::PQntuples(result_.get());
}

int PqResult::columns() const {
    return ::PQnfields(result_.get());
}

bool PqResult::IsNull(int row, int column) const {
    return ::PQgetisnull(result_.get(), row, column) != 0;
}

std::string_view PqResult::Get(int row, int column) const {
    const char* text = ::PQgetvalue(result_.get(), row, column);
    if (text == nullptr) {
        return {};
    }
    return {text, static_cast<size_t>(::PQgetlength(result_.get(), row, column))};
}

int64_t PqResult::GetInt(int row, int column) const {
    int64_t value = 0;
    return absl::SimpleAtoi(ToAbsl(Get(row, column)), &value) ? value : 0;
}

bool PqResult::GetBool(int row, int column) const {
    return Get(row, column) == "t";
}

int64_t PqResult::affected() const {
    int64_t value = 0;
    return absl::SimpleAtoi(::PQcmdTuples(result_.get()), &value) ? value : 0;
}

PqConnection::PqConnection(pg_conn* connection)
    : connection_(connection), cancel_(::PQgetCancel(connection)) {}

PqConnection::~PqConnection() {
    ::PQfreeCancel(cancel_);
    ::PQfinish(connection_);
}

absl::StatusOr<std::unique_ptr<PqConnection>> PqConnection::Connect(const PqParameters& parameters) {
    std::map<std::string, std::string> keywords = parameters.keywords;
    keywords.insert(DefaultKeywords().begin(), DefaultKeywords().end());
    int64_t seconds = 0;
    if (!absl::SimpleAtoi(keywords["connect_timeout"], &seconds) || seconds <= 0) {
        seconds = 10;
    }
    const auto deadline = Clock::now() + std::chrono::seconds(seconds);
    pg_conn* connection = StartConnection(keywords, parameters.password);
    if (connection == nullptr) {
        return MakeError(absl::StatusCode::kResourceExhausted, "MEMORY",
                         "no memory for a database connection");
    }
    absl::Cleanup finish = [connection] { ::PQfinish(connection); };
    // Puts the SQLSTATE into the text, which is all that libpq tells of a refused connection.
    ::PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
    ::PQsetNoticeReceiver(connection, DropNotice, nullptr);
    const Outcome outcome = FinishConnection(connection, deadline);
    if (outcome != Outcome::kConnected) {
        return pq_internal::ConnectFailure(parameters, ::PQerrorMessage(connection),
                                           outcome == Outcome::kTimedOut);
    }
    ::PQsetErrorVerbosity(connection, PQERRORS_DEFAULT);
    ::PQsetnonblocking(connection, 0);
    std::move(finish).Cancel();
    return std::unique_ptr<PqConnection>(new PqConnection(connection));
}

absl::StatusOr<PqResult> PqConnection::Execute(const std::string& sql) {
    PGresult* raw_result = ::PQexec(connection_, sql.c_str());
    PqResult result(raw_result);
    if (!Succeeded(raw_result)) {
        return pq_internal::ResultFailure(raw_result, connection_);
    }
    return result;
}

absl::StatusOr<PqResult> PqConnection::ExecuteParams(
    const std::string& sql, const std::vector<std::optional<std::string>>& parameters) {
    std::vector<const char*> values;
    values.reserve(parameters.size());
    for (const auto& parameter : parameters) {
        if (parameter && parameter->find('\0') != std::string::npos) {
            return MakeError(absl::StatusCode::kInvalidArgument, "NUL_BYTE",
                             "a text parameter holds a NUL byte");
        }
        values.push_back(parameter ? parameter->c_str() : nullptr);
    }
    PGresult* raw_result = ::PQexecParams(connection_, sql.c_str(), static_cast<int>(values.size()), nullptr,
                                          values.data(), nullptr, nullptr, 0);
    PqResult result(raw_result);
    if (!Succeeded(raw_result)) {
        return pq_internal::ResultFailure(raw_result, connection_);
    }
    return result;
}

absl::StatusOr<int64_t> PqConnection::CopyIn(const std::string& sql,
                                             const std::function<absl::Status(CopyWriter&)>& write) {
    {
        PGresult* raw_result = ::PQexec(connection_, sql.c_str());
        const PqResult result(raw_result);
        if (::PQresultStatus(raw_result) != PGRES_COPY_IN) {
            return Succeeded(raw_result)
                       ? MakeError(absl::StatusCode::kInternal, "PROTOCOL", "no COPY FROM STDIN was run")
                       : pq_internal::ResultFailure(raw_result, connection_);
        }
    }
    Writer writer(*this);
    const absl::Status written = write(writer);
    const int ended = ::PQputCopyEnd(connection_, written.ok() ? nullptr : "given up by the client");
    const absl::Status end_status = ended == 1 ? absl::OkStatus() : LastError("ending COPY");
    const absl::StatusOr<int64_t> rows = DrainResults(connection_);
    // When the server failed first, its reason is worth more than the broken pipe that the writer saw.
    if (!written.ok() && (rows.ok() || ReasonOf(rows.status()) == "SQLSTATE_57014")) {
        return written;
    }
    RETURN_IF_ERROR(rows.ok() ? end_status : absl::OkStatus());
    return rows;
}

absl::Status PqConnection::BeginCopyOut(const std::string& sql) {
    PGresult* raw_result = ::PQexec(connection_, sql.c_str());
    const PqResult result(raw_result);
    if (::PQresultStatus(raw_result) == PGRES_COPY_OUT) {
        return absl::OkStatus();
    }
    return Succeeded(raw_result) ? MakeError(absl::StatusCode::kInternal, "PROTOCOL", "no COPY TO STDOUT was run")
                                 : pq_internal::ResultFailure(raw_result, connection_);
}

absl::StatusOr<bool> PqConnection::TakeCopyRow(const std::function<absl::Status(std::string_view)>& row) {
    char* data = nullptr;
    const int length = ::PQgetCopyData(connection_, &data, 0);
    if (length > 0) {
        const absl::Cleanup free_data = [data] { ::PQfreemem(data); };
        RETURN_IF_ERROR(row(std::string_view(data, static_cast<size_t>(length))));
        return true;
    }
    RETURN_IF_ERROR(DrainResults(connection_).status());
    if (length == -2) {
        return LastError("reading COPY data");
    }
    return false;
}

absl::Status PqConnection::CopyOut(const std::string& sql,
                                   const std::function<absl::Status(std::string_view)>& row) {
    RETURN_IF_ERROR(BeginCopyOut(sql));
    absl::Status handled;
    int length = 0;
    char* data = nullptr;
    while ((length = ::PQgetCopyData(connection_, &data, 0)) > 0) {
        const absl::Cleanup free_data = [data] { ::PQfreemem(data); };
        if (!handled.ok()) {
            continue;
        }
        handled = row(std::string_view(data, static_cast<size_t>(length)));
        if (!handled.ok()) {
            Cancel();
        }
    }
    const absl::Status drained = DrainResults(connection_).status();
    if (!handled.ok()) {
        return handled;
    }
    RETURN_IF_ERROR(drained);
    return length == -2 ? LastError("reading COPY data") : absl::OkStatus();
}

int PqConnection::server_version() const {
    return ::PQserverVersion(connection_);
}

bool PqConnection::healthy() const {
    return ::PQstatus(connection_) == CONNECTION_OK;
}

absl::Status PqConnection::LastError(std::string_view what) const {
    if (!healthy()) {
        return MakeError(absl::StatusCode::kUnavailable, "CONNECTION_LOST",
                         Concat(what, ": the connection to the server is gone"),
                         "Check that the server runs; the connection is made again.");
    }
    return MakeError(absl::StatusCode::kInternal, "PROTOCOL", Concat(what, " failed"));
}

void PqConnection::Cancel() {
    char ignored[256];
    if (cancel_ != nullptr) {
        ::PQcancel(cancel_, ignored, sizeof(ignored));
    }
}

std::string QuoteIdentifier(std::string_view name) {
    std::string quoted = "\"";
    for (const char c : name) {
        quoted.append(c == '"' ? 2 : 1, c);
    }
    return quoted + "\"";
}

std::string QuoteLiteral(std::string_view text) {
    const bool escapes = text.find('\\') != std::string_view::npos;
    std::string quoted = escapes ? "E'" : "'";
    for (const char c : text) {
        quoted.append(c == '\'' || c == '\\' ? 2 : 1, c);
    }
    return quoted + "'";
}

}  // namespace millrace::base
