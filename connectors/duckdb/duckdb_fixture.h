/// A folder with one DuckDB file, the files of one process, and the same file as another process sees it. For
/// tests.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "connectors/duckdb/database_file.h"
#include "connectors/sdk/destination.h"
#include "connectors/sdk/testing/batch_builder.h"

namespace millrace::duckdb {

/// Removed with the object.
class TestFolder final {
 public:
    TestFolder();
    ~TestFolder();
    TestFolder(const TestFolder&) = delete;
    TestFolder& operator=(const TestFolder&) = delete;
    [[nodiscard]] std::string File(const std::string& name = "test.duckdb") const {
        return folder_ + "/" + name;
    }
    [[nodiscard]] const std::string& folder() const { return folder_; }
    /// Names of what is in it, sorted.
    [[nodiscard]] std::vector<std::string> Names() const;

 private:
    std::string folder_;
};

using TextRow = std::vector<std::optional<std::string>>;

/// Fails the test on an error. Every column as DuckDB's text.
std::vector<TextRow> QueryFile(DatabaseFiles& files, const std::string& path, const std::string& sql);
void ExecuteOnFile(DatabaseFiles& files, const std::string& path, const std::string& sql);

/// As the registered factory makes it.
std::unique_ptr<sdk::Destination> MakeTestDestination(DatabaseFiles& files, const std::string& path);

sdk::StreamId TestStream(const std::string& table = "orders");

/// A writer that has taken the table over; fails the test otherwise.
std::unique_ptr<sdk::TableWriter> TakeOver(sdk::Destination& destination, const std::string& table,
                                           sdk::Checkpoint* checkpoint = nullptr);

/// Another process that runs `body` and exits; to be made while this process has no engine (a fork takes one
/// thread along).
class ChildProcess final {
 public:
    /// `body` may call `ready` once, for which the constructor waits.
    explicit ChildProcess(const std::function<void(const std::function<void()>& ready)>& body);
    ~ChildProcess();
    ChildProcess(const ChildProcess&) = delete;
    ChildProcess& operator=(const ChildProcess&) = delete;
    void Kill();
    [[nodiscard]] pid_t pid() const { return pid_; }

 private:
    pid_t pid_ = -1;
};

/// Runs the query tool of tests/support in a process of its own; nullopt when it failed.
std::optional<std::string> QueryElsewhere(const std::string& path, const std::string& sql,
                                          const std::string& retry = "10s");

}  // namespace millrace::duckdb
