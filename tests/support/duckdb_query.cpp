// duckdb-query: opens a DuckDB file READ_ONLY, waits while another process writes it, prints the rows of one
// query.
#include <duckdb.h>
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

enum class Format { kTabs, kCsv, kJson };

struct Table final {
    std::vector<std::string> names;
    std::vector<std::vector<std::optional<std::string>>> rows;
};

class Database final {
 public:
    Database() = default;
    ~Database() {
        duckdb_disconnect(&connection_);
        duckdb_close(&database_);
    }
    Database(const Database&) = delete;
    Database& operator=(const Database&) = delete;

    // "" when it is open, else why not.
    std::string Open(const std::string& file) {
        duckdb_config config = nullptr;
        duckdb_create_config(&config);
        duckdb_set_config(config, "access_mode", "READ_ONLY");
        duckdb_set_config(config, "threads", "2");
        char* message = nullptr;
        std::string problem;
        if (duckdb_open_ext(file.c_str(), &database_, config, &message) == DuckDBError) {
            problem = message == nullptr ? "DuckDB gave no reason" : message;
        }
        duckdb_free(message);
        duckdb_destroy_config(&config);
        if (problem.empty() && duckdb_connect(database_, &connection_) == DuckDBError) {
            problem = "DuckDB refuses a connection";
        }
        return problem;
    }

    // "" when `table` holds the rows of `sql`, else why not.
    std::string Run(const std::string& sql, Table& table) {
        duckdb_result result{};
        std::string problem;
        if (duckdb_query(connection_, sql.c_str(), &result) == DuckDBError) {
            problem = duckdb_result_error(&result);
        } else {
            Read(result, table);
        }
        duckdb_destroy_result(&result);
        return problem;
    }

    // The names and types as the statement itself gives them.
    std::string Describe(const std::string& sql, std::vector<std::string>& names) {
        duckdb_prepared_statement statement = nullptr;
        std::string problem;
        if (duckdb_prepare(connection_, sql.c_str(), &statement) == DuckDBError) {
            const char* const message = duckdb_prepare_error(statement);
            problem = message == nullptr ? "DuckDB gave no reason" : message;
        }
        for (idx_t i = 0; problem.empty() && i < duckdb_prepared_statement_column_count(statement); ++i) {
            const char* const name = duckdb_prepared_statement_column_name(statement, i);
            names.emplace_back(name);
            duckdb_free(const_cast<char*>(name));
        }
        duckdb_destroy_prepare(&statement);
        return problem;
    }

 private:
    static void Read(duckdb_result& result, Table& table) {
        const idx_t columns = duckdb_column_count(&result);
        for (idx_t column = 0; column < columns; ++column) {
            table.names.emplace_back(duckdb_column_name(&result, column));
        }
        table.rows.resize(duckdb_row_count(&result));
        for (idx_t row = 0; row < table.rows.size(); ++row) {
            for (idx_t column = 0; column < columns; ++column) {
                char* const text = duckdb_value_varchar(&result, column, row);
                table.rows[row].push_back(text == nullptr ? std::nullopt : std::optional<std::string>(text));
                duckdb_free(text);
            }
        }
    }

    duckdb_database database_ = nullptr;
    duckdb_connection connection_ = nullptr;
};

// Whether a writer holds the file now. Much cheaper than an attempt to open it, so that a short gap is not
// missed.
bool IsHeld(const std::string& file) {
    const int descriptor = open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        return false;
    }
    struct flock lock {};
    lock.l_type = F_RDLCK;
    lock.l_whence = SEEK_SET;
    const bool held = fcntl(descriptor, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    close(descriptor);
    return held;
}

// DuckDB's own words for "another process has it".
bool IsLocked(std::string_view problem) {
    return problem.find("Could not set lock on file") != std::string_view::npos;
}

std::string Escaped(std::string_view text, Format format) {
    std::string out;
    for (const char c : text) {
        if (format == Format::kCsv) {
            out.append(c == '"' ? 2 : 1, c);
            continue;
        }
        const auto code = static_cast<unsigned char>(c);
        if (c == '\\' || (format == Format::kJson && c == '"')) {
            out += '\\';
            out += c;
        } else if (c == '\n' || c == '\t' || c == '\r') {
            out += '\\';
            out += c == '\n' ? 'n' : c == '\t' ? 't' : 'r';
        } else if (format == Format::kJson && code < 0x20) {
            char escape[8];
            std::snprintf(escape, sizeof(escape), "\\u%04x", code);
            out += escape;
        } else {
            out += c;
        }
    }
    return out;
}

// Tabs: \N is NULL, as in COPY. CSV: an empty field is NULL, "" is empty text. JSON: null.
std::string Cell(const std::optional<std::string>& value, Format format) {
    switch (format) {
        case Format::kTabs:
            return value ? Escaped(*value, format) : "\\N";
        case Format::kCsv: {
            if (!value) {
                return "";
            }
            const bool plain = !value->empty() && value->find_first_of("\",\r\n") == std::string::npos;
            return plain ? *value : "\"" + Escaped(*value, format) + "\"";
        }
        case Format::kJson:
            return value ? "\"" + Escaped(*value, format) + "\"" : "null";
    }
    return "";
}

void PrintJson(const Table& table) {
    std::fputs("[", stdout);
    for (size_t row = 0; row < table.rows.size(); ++row) {
        std::string line = row == 0 ? "\n{" : ",\n{";
        for (size_t i = 0; i < table.names.size(); ++i) {
            line += (i == 0 ? "\"" : ", \"") + Escaped(table.names[i], Format::kJson) +
                    "\": " + Cell(table.rows[row][i], Format::kJson);
        }
        std::fputs((line + "}").c_str(), stdout);
    }
    std::fputs("\n]\n", stdout);
}

void PrintLines(const Table& table, Format format, bool header) {
    const char separator = format == Format::kCsv ? ',' : '\t';
    const auto print = [&](const auto& cells) {
        std::string line;
        for (size_t i = 0; i < cells.size(); ++i) {
            line += (i == 0 ? "" : std::string(1, separator)) + Cell(cells[i], format);
        }
        std::puts(line.c_str());
    };
    if (header) {
        print(table.names);
    }
    for (const auto& row : table.rows) {
        print(row);
    }
}

std::string WithoutSemicolon(std::string sql) {
    while (!sql.empty() && (sql.back() == ';' || std::isspace(static_cast<unsigned char>(sql.back())) != 0)) {
        sql.pop_back();
    }
    return sql;
}

// Every value as text by DuckDB's own cast: the C interface has no text for many types.
std::string Query(Database& database, const std::string& sql, Table& table) {
    Table ignored;
    // Only where this DuckDB has the setting.
    database.Run("SET TimeZone = 'UTC'", ignored);
    std::vector<std::string> names;
    if (const std::string problem = database.Describe(sql, names); !problem.empty()) {
        return problem;
    }
    std::string problem = database.Run("SELECT COLUMNS(*)::VARCHAR FROM (" + sql + "\n)", table);
    if (!problem.empty()) {
        // EXPLAIN, PRAGMA and their like stand in no subquery, and answer with text and numbers anyway.
        table = Table();
        problem = database.Run(sql, table);
    }
    if (names.size() == table.names.size()) {
        table.names = names;
    }
    return problem;
}

int Fail(const std::string& problem) {
    std::fprintf(stderr, "duckdb-query: %s\n", problem.c_str());
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("Prints the rows of one query on a DuckDB file, which it opens READ_ONLY.", "duckdb-query");
    std::string file;
    std::string sql;
    bool csv = false;
    bool json = false;
    bool header = false;
    std::chrono::milliseconds retry{10'000};
    app.add_option("file", file, "The DuckDB file")->required();
    app.add_option("sql", sql, "One statement")->required();
    auto* const csv_flag =
        app.add_flag("--csv", csv, "CSV with a header; an empty field is NULL, \"\" is empty text");
    app.add_flag("--json", json, "An array of objects; every value is a string or null")->excludes(csv_flag);
    app.add_flag("--header", header, "Column names first (tab-separated output; \\N is NULL)");
    app.add_option("--retry", retry, "How long to wait while another process writes the file (10s, 500ms)")
        ->default_str("10s")
        ->transform(CLI::AsNumberWithUnit(std::map<std::string, int>{{"ms", 1}, {"s", 1000}, {"m", 60'000}}));
    CLI11_PARSE(app, argc, argv);

    const auto deadline = std::chrono::steady_clock::now() + retry;
    Database database;
    for (;;) {
        while (IsHeld(file) && std::chrono::steady_clock::now() < deadline) {
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
        const std::string problem = database.Open(file);
        if (problem.empty()) {
            break;
        }
        if (!IsLocked(problem) || std::chrono::steady_clock::now() >= deadline) {
            return Fail(problem);
        }
    }
    Table table;
    if (const std::string problem = Query(database, WithoutSemicolon(sql), table); !problem.empty()) {
        return Fail(problem);
    }
    if (json) {
        PrintJson(table);
    } else {
        PrintLines(table, csv ? Format::kCsv : Format::kTabs, csv || header);
    }
    return 0;
}
