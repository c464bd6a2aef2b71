#include "connectors/duckdb/engine.h"

#include <duckdb.h>

#include <algorithm>
#include <cstring>

#include "base/status.h"
#include "base/text.h"
#include "connectors/duckdb/engine_error.h"

namespace millrace::duckdb {
namespace {

EngineErrorKind KindOf(duckdb_error_type type) {
    switch (type) {
        case DUCKDB_ERROR_CONVERSION:
        case DUCKDB_ERROR_OUT_OF_RANGE:
        case DUCKDB_ERROR_DECIMAL:
        case DUCKDB_ERROR_INVALID_INPUT:
            return EngineErrorKind::kValue;
        case DUCKDB_ERROR_CONSTRAINT:
            return EngineErrorKind::kConstraint;
        case DUCKDB_ERROR_TRANSACTION:
            return EngineErrorKind::kConflict;
        case DUCKDB_ERROR_OUT_OF_MEMORY:
            return EngineErrorKind::kMemory;
        case DUCKDB_ERROR_IO:
            return EngineErrorKind::kIo;
        case DUCKDB_ERROR_PERMISSION:
            return EngineErrorKind::kPermission;
        case DUCKDB_ERROR_CATALOG:
        case DUCKDB_ERROR_BINDER:
        case DUCKDB_ERROR_DEPENDENCY:
            return EngineErrorKind::kDefinition;
        case DUCKDB_ERROR_FATAL:
        case DUCKDB_ERROR_INTERNAL:
            return EngineErrorKind::kFatal;
        default:
            return EngineErrorKind::kOther;
    }
}

class Result final {
 public:
    Result() = default;
    ~Result() { duckdb_destroy_result(&result_); }
    Result(const Result&) = delete;
    Result& operator=(const Result&) = delete;
    duckdb_result* get() { return &result_; }

 private:
    duckdb_result result_{};
};

// duckdb_value_varchar answers NULL for any other type.
bool HasText(duckdb_type type) {
    switch (type) {
        case DUCKDB_TYPE_BOOLEAN:
        case DUCKDB_TYPE_TINYINT:
        case DUCKDB_TYPE_SMALLINT:
        case DUCKDB_TYPE_INTEGER:
        case DUCKDB_TYPE_BIGINT:
        case DUCKDB_TYPE_UTINYINT:
        case DUCKDB_TYPE_USMALLINT:
        case DUCKDB_TYPE_UINTEGER:
        case DUCKDB_TYPE_UBIGINT:
        case DUCKDB_TYPE_HUGEINT:
        case DUCKDB_TYPE_VARCHAR:
            return true;
        default:
            return false;
    }
}

duckdb_type TypeOf(BulkInput::Type type) {
    switch (type) {
        case BulkInput::Type::kBytes:
            return DUCKDB_TYPE_BLOB;
        case BulkInput::Type::kInteger:
            return DUCKDB_TYPE_INTEGER;
        case BulkInput::Type::kBoolean:
            return DUCKDB_TYPE_BOOLEAN;
        case BulkInput::Type::kText:
            break;
    }
    return DUCKDB_TYPE_VARCHAR;
}

// The C types of a list of columns.
class LogicalTypes final {
 public:
    explicit LogicalTypes(const std::vector<Connection::BulkColumn>& columns) {
        for (const Connection::BulkColumn& column : columns) {
            types_.push_back(duckdb_create_logical_type(TypeOf(column.type)));
        }
    }
    ~LogicalTypes() {
        for (duckdb_logical_type& type : types_) {
            duckdb_destroy_logical_type(&type);
        }
    }
    LogicalTypes(const LogicalTypes&) = delete;
    LogicalTypes& operator=(const LogicalTypes&) = delete;
    duckdb_logical_type* data() { return types_.data(); }

 private:
    std::vector<duckdb_logical_type> types_;
};

}  // namespace

struct Connection::Impl final {
    duckdb_connection connection = nullptr;
    bool broken = false;

    ~Impl() { duckdb_disconnect(&connection); }

    absl::Status Error(duckdb_error_type type, const char* message) {
        const EngineErrorKind kind = KindOf(type);
        broken = broken || kind == EngineErrorKind::kFatal;
        return StatusFromEngine(kind, message == nullptr ? "DuckDB gave no reason" : message);
    }

    absl::Status Run(const std::string& sql, Result& result) {
        if (duckdb_query(connection, sql.c_str(), result.get()) == DuckDBError) {
            return Error(duckdb_result_error_type(result.get()), duckdb_result_error(result.get()));
        }
        return absl::OkStatus();
    }
};

struct BulkInput::Impl final {
    Connection::Impl& connection;
    duckdb_appender appender = nullptr;
    duckdb_data_chunk chunk = nullptr;
    std::vector<duckdb_vector> vectors;
    idx_t row = 0;
    idx_t capacity = duckdb_vector_size();

    explicit Impl(Connection::Impl& owner) : connection(owner) {}
    ~Impl() {
        duckdb_destroy_data_chunk(&chunk);
        duckdb_appender_destroy(&appender);
    }

    absl::Status Check(duckdb_state state) {
        if (state == DuckDBSuccess) {
            return absl::OkStatus();
        }
        duckdb_error_data error = duckdb_appender_error_data(appender);
        absl::Status status =
            connection.Error(duckdb_error_data_error_type(error), duckdb_error_data_message(error));
        duckdb_destroy_error_data(&error);
        return status;
    }

    void FindVectors() {
        for (size_t column = 0; column < vectors.size(); ++column) {
            vectors[column] = duckdb_data_chunk_get_vector(chunk, column);
        }
    }

    absl::Status Append() {
        duckdb_data_chunk_set_size(chunk, row);
        RETURN_IF_ERROR(Check(duckdb_append_data_chunk(appender, chunk)));
        duckdb_data_chunk_reset(chunk);
        FindVectors();
        row = 0;
        return absl::OkStatus();
    }
};

BulkInput::BulkInput(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
BulkInput::~BulkInput() = default;

void BulkInput::SetNull(size_t column) {
    duckdb_vector_ensure_validity_writable(impl_->vectors[column]);
    duckdb_validity_set_row_invalid(duckdb_vector_get_validity(impl_->vectors[column]), impl_->row);
}

void BulkInput::SetText(size_t column, std::string_view text) {
    // An empty view may have no memory behind it.
    duckdb_vector_assign_string_element_len(impl_->vectors[column], impl_->row,
                                            text.empty() ? "" : text.data(), text.size());
}

void BulkInput::SetBytes(size_t column, std::string_view bytes) {
    SetText(column, bytes);
}

void BulkInput::SetInteger(size_t column, int32_t value) {
    static_cast<int32_t*>(duckdb_vector_get_data(impl_->vectors[column]))[impl_->row] = value;
}

void BulkInput::SetBoolean(size_t column, bool value) {
    static_cast<bool*>(duckdb_vector_get_data(impl_->vectors[column]))[impl_->row] = value;
}

absl::Status BulkInput::EndRow() {
    ++impl_->row;
    return impl_->row == impl_->capacity ? impl_->Append() : absl::OkStatus();
}

absl::Status BulkInput::Finish() {
    if (impl_->row > 0) {
        RETURN_IF_ERROR(impl_->Append());
    }
    return impl_->Check(duckdb_appender_flush(impl_->appender));
}

Connection::Connection(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Connection::~Connection() = default;

absl::StatusOr<int64_t> Connection::Execute(const std::string& sql) {
    Result result;
    RETURN_IF_ERROR(impl_->Run(sql, result));
    return static_cast<int64_t>(duckdb_rows_changed(result.get()));
}

absl::StatusOr<std::vector<Connection::Row>> Connection::Query(const std::string& sql) {
    Result result;
    RETURN_IF_ERROR(impl_->Run(sql, result));
    const idx_t columns = duckdb_column_count(result.get());
    for (idx_t column = 0; column < columns; ++column) {
        if (!HasText(duckdb_column_type(result.get(), column))) {
            return base::MakeError(absl::StatusCode::kInternal, "RESULT_TYPE",
                                   base::Concat("column ", duckdb_column_name(result.get(), column),
                                                " of a result has no text form"));
        }
    }
    std::vector<Row> rows(duckdb_row_count(result.get()));
    for (idx_t row = 0; row < rows.size(); ++row) {
        for (idx_t column = 0; column < columns; ++column) {
            if (duckdb_value_is_null(result.get(), column, row)) {
                rows[row].emplace_back(std::nullopt);
                continue;
            }
            char* const text = duckdb_value_varchar(result.get(), column, row);
            rows[row].emplace_back(text);
            duckdb_free(text);
        }
    }
    return rows;
}

absl::StatusOr<std::unique_ptr<BulkInput>> Connection::Bulk(const std::string& query,
                                                            const std::vector<BulkColumn>& columns) {
    auto input = std::make_unique<BulkInput::Impl>(*impl_);
    LogicalTypes types(columns);
    std::vector<const char*> names;
    for (const BulkColumn& column : columns) {
        names.push_back(column.name.c_str());
    }
    RETURN_IF_ERROR(input->Check(duckdb_appender_create_query(impl_->connection, query.c_str(),
                                                              columns.size(), types.data(), "input_rows",
                                                              names.data(), &input->appender)));
    input->chunk = duckdb_create_data_chunk(types.data(), columns.size());
    input->vectors.resize(columns.size());
    input->FindVectors();
    return std::unique_ptr<BulkInput>(new BulkInput(std::move(input)));
}

bool Connection::broken() const {
    return impl_->broken;
}

struct Engine::Impl final {
    duckdb_database database = nullptr;
    bool has_json = false;
    ~Impl() { duckdb_close(&database); }
};

namespace {

absl::Status SetOptions(duckdb_config config, const Engine::Limits& limits) {
    const std::vector<std::pair<const char*, std::string>> settings = {
        {"memory_limit", base::Concat(limits.memory.value() / 1024, "KiB")},
        {"threads", base::Concat(limits.threads)},
        {"temp_directory", limits.spill_folder},
        // The log is written into the file whenever the file is given up, which is soon enough.
        {"checkpoint_threshold", "1GB"},
        // Memory that it has freed goes back to the system soon, not beyond a hundred megabytes of it.
        {"allocator_flush_threshold", "8MB"},
        {"allocator_bulk_deallocation_flush_threshold", "8MB"},
        {"allocator_background_threads", "true"},
        // Nothing is fetched from elsewhere, nothing is read from the user's home.
        {"autoinstall_known_extensions", "false"},
        {"autoload_known_extensions", "false"},
        {"allow_persistent_secrets", "false"},
    };
    for (const auto& [name, value] : settings) {
        if (duckdb_set_config(config, name, value.c_str()) == DuckDBError) {
            return base::MakeError(absl::StatusCode::kInvalidArgument, "OPTION_INVALID",
                                   base::Concat("DuckDB does not take ", value, " as ", name));
        }
    }
    return absl::OkStatus();
}

}  // namespace

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(const Limits& limits) {
    duckdb_config config = nullptr;
    if (duckdb_create_config(&config) == DuckDBError) {
        return base::MakeError(absl::StatusCode::kResourceExhausted, "DUCKDB_MEMORY",
                               "DuckDB could not be started");
    }
    absl::Status status = SetOptions(config, limits);
    auto impl = std::make_unique<Impl>();
    char* message = nullptr;
    if (status.ok() && duckdb_open_ext(":memory:", &impl->database, config, &message) == DuckDBError) {
        const std::string_view reason = message == nullptr ? "no reason given" : message;
        status = base::MakeError(absl::StatusCode::kInvalidArgument, "OPTION_INVALID",
                                 base::Concat("DuckDB did not start: ", reason.substr(0, reason.find('\n'))));
    }
    duckdb_free(message);
    duckdb_destroy_config(&config);
    RETURN_IF_ERROR(status);

    std::unique_ptr<Engine> engine(new Engine(std::move(impl)));
    ASSIGN_OR_RETURN(const auto connection, engine->Connect());
    engine->impl_->has_json = connection->Execute("SELECT NULL::JSON").ok();
    return engine;
}

absl::StatusOr<std::unique_ptr<Connection>> Engine::Connect() {
    auto impl = std::make_unique<Connection::Impl>();
    if (duckdb_connect(impl_->database, &impl->connection) == DuckDBError) {
        return base::MakeError(absl::StatusCode::kUnavailable, "DUCKDB_FAILED",
                               "DuckDB refuses another connection");
    }
    return std::unique_ptr<Connection>(new Connection(std::move(impl)));
}

bool Engine::has_json() const {
    return impl_->has_json;
}

}  // namespace millrace::duckdb
