/// The PostgreSQL that tests run against (MILLRACE_TEST_PG = URL of a superuser's database on a server with
/// wal_level=logical) and databases of their own on it. Not for: starting servers.
#pragma once

#include <gtest/gtest.h>
#include <libpq-fe.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/pq.h"
#include "base/status.h"

namespace millrace::testing_support {

/// Connection parameters of MILLRACE_TEST_PG. Fails the test when it is not set: a missing server is never a
/// skip.
inline base::PqParameters TestPostgres() {
    base::PqParameters parameters;
    const char* url = std::getenv("MILLRACE_TEST_PG");
    EXPECT_NE(url, nullptr) << "set MILLRACE_TEST_PG to the URL of a superuser's database";
    PQconninfoOption* options = PQconninfoParse(url == nullptr ? "" : url, nullptr);
    EXPECT_NE(options, nullptr) << "MILLRACE_TEST_PG is no connection URL";
    for (const PQconninfoOption* option = options; option != nullptr && option->keyword != nullptr;
         ++option) {
        if (option->val == nullptr) {
            continue;
        }
        if (std::string(option->keyword) == "password") {
            parameters.password = base::Secret(option->val);
        } else {
            parameters.keywords[option->keyword] = option->val;
        }
    }
    PQconninfoFree(options);
    return parameters;
}

/// An empty database with a free name, dropped with the object, whoever is connected to it.
class PostgresDatabase final {
 public:
    PostgresDatabase() : parameters_(TestPostgres()), admin_(Connect(parameters_)) {
        static std::atomic<int> counter{0};
        parameters_.keywords["dbname"] =
            "mr_test_" + std::to_string(getpid()) + "_" + std::to_string(counter++);
        Run(*admin_, "CREATE DATABASE " + name() + " TEMPLATE template0 ENCODING 'UTF8'");
        connection_ = Connect(parameters_);
    }
    ~PostgresDatabase() {
        connection_.reset();
        Run(*admin_, "DROP DATABASE IF EXISTS " + name() + " WITH (FORCE)");
    }
    PostgresDatabase(const PostgresDatabase&) = delete;
    PostgresDatabase& operator=(const PostgresDatabase&) = delete;

    [[nodiscard]] const std::string& name() const { return parameters_.keywords.at("dbname"); }
    /// As the superuser.
    [[nodiscard]] const base::PqParameters& parameters() const { return parameters_; }

    void Execute(const std::string& sql) { Run(*connection_, sql); }

    std::vector<std::vector<std::optional<std::string>>> Query(const std::string& sql) {
        const auto result = connection_->Execute(sql);
        if (!result.ok()) {
            ADD_FAILURE() << base::Describe(result.status()) << "\n" << sql.substr(0, 2000);
            return {};
        }
        std::vector<std::vector<std::optional<std::string>>> rows(static_cast<size_t>(result->rows()));
        for (int row = 0; row < result->rows(); ++row) {
            for (int column = 0; column < result->columns(); ++column) {
                auto& cells = rows[static_cast<size_t>(row)];
                if (result->IsNull(row, column)) {
                    cells.emplace_back();
                } else {
                    cells.emplace_back(result->Get(row, column));
                }
            }
        }
        return rows;
    }

 private:
    static std::unique_ptr<base::PqConnection> Connect(const base::PqParameters& parameters) {
        auto connection = base::PqConnection::Connect(parameters);
        if (!connection.ok()) {
            // GoogleTest makes it a failure of the one test.
            throw std::runtime_error(base::Describe(connection.status()));
        }
        return std::move(*connection);
    }

    static void Run(base::PqConnection& connection, const std::string& sql) {
        const auto result = connection.Execute(sql);
        EXPECT_TRUE(result.ok()) << base::Describe(result.status()) << "\n" << sql.substr(0, 2000);
    }

    base::PqParameters parameters_;
    std::unique_ptr<base::PqConnection> admin_;
    std::unique_ptr<base::PqConnection> connection_;
};

}  // namespace millrace::testing_support
