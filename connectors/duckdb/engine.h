/// DuckDB's C interface as plain C++: an engine without a file of its own, connections to it, bulk input.
/// Not for: which file is attached when (database_file.h), what is written (session.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/byte_count.h"

namespace millrace::duckdb {

/// Name under which every engine attaches its file. Not the file's own name: a schema of that name would make
/// "schema"."table" ambiguous.
inline constexpr std::string_view kCatalog = "_millrace_file";

/// Values that stream into a query: rows of typed columns. Used by one thread; must not outlive its
/// connection.
class BulkInput final {
 public:
    enum class Type { kText, kBytes, kInteger, kBoolean };
    ~BulkInput();
    BulkInput(const BulkInput&) = delete;
    BulkInput& operator=(const BulkInput&) = delete;

    /// Set the cells of the current row; each column is set once per row. Text must be valid UTF-8 (IsUtf8).
    void SetNull(size_t column);
    void SetText(size_t column, std::string_view text);
    void SetBytes(size_t column, std::string_view bytes);
    void SetInteger(size_t column, int32_t value);
    void SetBoolean(size_t column, bool value);
    /// Ends the row. Errors as Connection::Execute: rows so far may have run through the query.
    absl::Status EndRow();
    /// Runs the query over what is left. To be called once, last; without it the rest may or may not be
    /// written: roll back.
    absl::Status Finish();

 private:
    friend class Connection;
    struct Impl;
    explicit BulkInput(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

/// One connection, in exclusive use of one thread. Errors: VALUE_REJECTED (FailedPrecondition) for a value
/// that does not fit; Aborted for a conflict between transactions; ResourceExhausted for memory; Unavailable
/// for input and output; Internal for a failure inside DuckDB, after which `broken()`. None of them carries a
/// value.
class Connection final {
 public:
    using Row = std::vector<std::optional<std::string>>;
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    /// Runs statements divided by ';'; returns the number of rows that the last one wrote or deleted.
    absl::StatusOr<int64_t> Execute(const std::string& sql);
    /// Runs one statement whose columns are text, booleans or numbers, and returns its rows as text.
    absl::StatusOr<std::vector<Row>> Query(const std::string& sql);

    struct BulkColumn final {
        /// A plain word: it is not quoted.
        std::string name;
        BulkInput::Type type = BulkInput::Type::kText;
    };
    /// `query` is an INSERT that selects from a table called `input_rows` with `columns`. It may run several
    /// times, each time over the next rows.
    absl::StatusOr<std::unique_ptr<BulkInput>> Bulk(const std::string& query,
                                                    const std::vector<BulkColumn>& columns);

    /// The engine refuses further work and must be made anew.
    [[nodiscard]] bool broken() const;

 private:
    friend class Engine;
    friend class BulkInput;
    struct Impl;
    explicit Connection(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

/// One engine: its threads and its memory. Thread-safe. Destroying it closes whatever is attached.
class Engine final {
 public:
    struct Limits final {
        base::ByteCount memory = base::ByteCount::MiB(1024);
        int threads = 2;
        /// Where results spill that do not fit into memory; made when needed. DatabaseFile puts it beside its
        /// file.
        std::string spill_folder;
    };
    /// InvalidArgument when a limit is refused.
    static absl::StatusOr<std::unique_ptr<Engine>> Create(const Limits& limits);
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    /// The connection must not outlive the engine.
    absl::StatusOr<std::unique_ptr<Connection>> Connect();
    /// Whether this library was built with the JSON type.
    [[nodiscard]] bool has_json() const;

 private:
    struct Impl;
    explicit Engine(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

[[nodiscard]] bool IsUtf8(std::string_view text);

}  // namespace millrace::duckdb
