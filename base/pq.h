/// libpq behind RAII and absl::Status. Not for: the control plane (target millrace_pq links libpq), SQL
/// generation.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/secret.h"

struct pg_cancel;
struct pg_conn;
struct pg_result;

namespace millrace::base {

/// Keyword/value connection parameters of libpq; the password stands apart so that the rest may be shown.
struct PqParameters final {
    std::map<std::string, std::string> keywords;
    Secret password;
};

/// One result; cells are text.
class PqResult final {
 public:
    explicit PqResult(pg_result* result);
    [[nodiscard]] int rows() const;
    [[nodiscard]] int columns() const;
    [[nodiscard]] bool IsNull(int row, int column) const;
    /// Valid as long as the result; "" for NULL.
    [[nodiscard]] std::string_view Get(int row, int column) const;
    [[nodiscard]] int64_t GetInt(int row, int column) const;
    [[nodiscard]] bool GetBool(int row, int column) const;
    /// Rows touched by INSERT, UPDATE, DELETE, COPY.
    [[nodiscard]] int64_t affected() const;

 private:
    std::shared_ptr<pg_result> result_;
};

/// Turns the SQLSTATE classes into canonical codes: 08, 57P → Unavailable; 40, 55P03 → Aborted; 53 →
/// ResourceExhausted; 28 → Unauthenticated; 42501 → PermissionDenied; 3D, 3F, 42P01, 42703 →
/// NotFound/FailedPrecondition; 57014 → DeadlineExceeded; others → FailedPrecondition. ReasonOf() is
/// "SQLSTATE_xxxxx". The server's message is left out for classes 22 and 23 and for P0001, where it may hold
/// row values.
absl::Status SqlStateToStatus(std::string_view sqlstate, std::string_view message);

/// A connection used by one thread at a time.
class PqConnection final {
 public:
    /// Connects with connect_timeout (seconds for the whole attempt; 10 unless given; looking the host's name
    /// up has the resolver's own limit), keepalives and application_name "millrace". Unavailable when host,
    /// port or server cannot be reached (reasons NET_DNS, NET_TCP), FailedPrecondition when encryption cannot
    /// be agreed on (NET_TLS), Unauthenticated (AUTH_FAILED, AUTH_HBA), NotFound (DATABASE_MISSING),
    /// InvalidArgument (OPTION_INVALID), ResourceExhausted (no connection slot free); each with a remedy and
    /// without the password.
    static absl::StatusOr<std::unique_ptr<PqConnection>> Connect(const PqParameters& parameters);
    ~PqConnection();
    PqConnection(const PqConnection&) = delete;
    PqConnection& operator=(const PqConnection&) = delete;

    /// Runs `sql` (several statements: the last result). Errors as SqlStateToStatus, never with DETAIL or
    /// CONTEXT; Unavailable, reason CONNECTION_LOST, when the connection broke. COPY and START_REPLICATION
    /// succeed here and leave the protocol to raw().
    absl::StatusOr<PqResult> Execute(const std::string& sql);
    /// Text parameters; nullopt is NULL. Not on a replication connection.
    absl::StatusOr<PqResult> ExecuteParams(const std::string& sql,
                                           const std::vector<std::optional<std::string>>& parameters);

    /// `COPY … FROM STDIN`: calls `write` once; it sends data through CopyWriter::Put.
    class CopyWriter {
     public:
        virtual ~CopyWriter() = default;
        virtual absl::Status Put(std::string_view data) = 0;
    };
    absl::StatusOr<int64_t> CopyIn(const std::string& sql,
                                   const std::function<absl::Status(CopyWriter&)>& write);

    /// `COPY … TO STDOUT`: calls `row` for every CopyData message (one row in text form, its newline
    /// included).
    absl::Status CopyOut(const std::string& sql, const std::function<absl::Status(std::string_view)>& row);

    /// The same piece by piece: the server waits while nobody takes rows. Until TakeCopyRow says that there are no more, nothing else
    /// can be asked for on this connection.
    absl::Status BeginCopyOut(const std::string& sql);
    /// Calls `row` for the next one, whose error is returned; false: there are no more.
    absl::StatusOr<bool> TakeCopyRow(const std::function<absl::Status(std::string_view)>& row);

    /// Server version, e.g. 150018.
    [[nodiscard]] int server_version() const;
    [[nodiscard]] bool healthy() const;
    /// For replication/copy-both and cancel; owned by this.
    [[nodiscard]] pg_conn* raw() const { return connection_; }
    /// The status of a failed raw call.
    [[nodiscard]] absl::Status LastError(std::string_view what) const;

    /// Asks the server to cancel what runs on this connection; any thread.
    void Cancel();

 private:
    explicit PqConnection(pg_conn* connection);
    pg_conn* connection_;
    // Made at once, because libpq lets no other thread read a connection in use.
    pg_cancel* cancel_;
};

/// "name" with embedded quotes doubled.
std::string QuoteIdentifier(std::string_view name);
/// 'text' with quotes doubled (standard_conforming_strings); E'' form when it holds a backslash.
std::string QuoteLiteral(std::string_view text);

}  // namespace millrace::base
