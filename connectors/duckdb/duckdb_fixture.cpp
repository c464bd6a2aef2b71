#include "connectors/duckdb/duckdb_fixture.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/status.h"
#include "base/text.h"
#include "connectors/duckdb/destination.h"

namespace millrace::duckdb {

TestFolder::TestFolder() {
    folder_ = std::filesystem::temp_directory_path().string() + "/millrace-duckdb-XXXXXX";
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
}

TestFolder::~TestFolder() {
    std::error_code error;
    std::filesystem::remove_all(folder_, error);
}

std::vector<std::string> TestFolder::Names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
        names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
}

std::vector<TextRow> QueryFile(DatabaseFiles& files, const std::string& path, const std::string& sql) {
    const auto lease = files.Get(path, Engine::Limits())->Acquire();
    if (!lease.ok()) {
        ADD_FAILURE() << base::Describe(lease.status());
        return {};
    }
    const auto rows =
        (*lease)->connection().Query(base::Concat("SELECT COLUMNS(*)::VARCHAR FROM (", sql, ")"));
    EXPECT_TRUE(rows.ok()) << base::Describe(rows.status()) << " in " << sql;
    return rows.ok() ? *rows : std::vector<TextRow>();
}

void ExecuteOnFile(DatabaseFiles& files, const std::string& path, const std::string& sql) {
    const auto lease = files.Get(path, Engine::Limits())->Acquire();
    ASSERT_TRUE(lease.ok()) << base::Describe(lease.status());
    const auto done = (*lease)->connection().Execute(sql);
    EXPECT_TRUE(done.ok()) << base::Describe(done.status()) << " in " << sql;
}

std::unique_ptr<sdk::Destination> MakeTestDestination(DatabaseFiles& files, const std::string& path) {
    sdk::Options options;
    options.values["path"] = path;
    EXPECT_TRUE(sdk::CheckOptions("duckdb", DestinationOptions(), options).ok());
    auto destination = MakeDestination(files, options);
    EXPECT_TRUE(destination.ok()) << base::Describe(destination.status());
    return destination.ok() ? std::move(*destination) : nullptr;
}

sdk::StreamId TestStream(const std::string& table) {
    return {.pipeline = "tenants/t/pipelines/p", .pipeline_uid = "uid", .topic = "p.shop." + table};
}

std::unique_ptr<sdk::TableWriter> TakeOver(sdk::Destination& destination, const std::string& table,
                                           sdk::Checkpoint* checkpoint) {
    auto writer = destination.OpenTable({"shop", table}, TestStream(table));
    EXPECT_TRUE(writer.ok());
    // Tables that make the checkpoint table at the same time ask to be repeated.
    auto taken = (*writer)->TakeOver();
    for (int i = 0; i < 20 && absl::IsAborted(taken.status()); ++i) {
        taken = (*writer)->TakeOver();
    }
    EXPECT_TRUE(taken.ok()) << base::Describe(taken.status());
    if (checkpoint != nullptr && taken.ok()) {
        *checkpoint = *taken;
    }
    return std::move(*writer);
}

ChildProcess::ChildProcess(const std::function<void(const std::function<void()>& ready)>& body) {
    std::array<int, 2> pipe_ends{};
    EXPECT_EQ(pipe(pipe_ends.data()), 0);
    pid_ = fork();
    if (pid_ == 0) {
        close(pipe_ends[0]);
        body([&] { EXPECT_EQ(write(pipe_ends[1], "r", 1), 1); });
        _exit(0);
    }
    close(pipe_ends[1]);
    char byte = 0;
    EXPECT_EQ(read(pipe_ends[0], &byte, 1), 1) << "the other process never got ready";
    close(pipe_ends[0]);
}

ChildProcess::~ChildProcess() {
    Kill();
}

void ChildProcess::Kill() {
    if (pid_ > 0) {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
        pid_ = -1;
    }
}

std::optional<std::string> QueryElsewhere(const std::string& path, const std::string& sql,
                                          const std::string& retry) {
    const std::string command =
        base::Concat(DUCKDB_QUERY, " '", path, "' \"", sql, "\" --retry ", retry, " 2>&1");
    FILE* const output = popen(command.c_str(), "r");
    if (output == nullptr) {
        return std::nullopt;
    }
    std::string text;
    std::array<char, 4096> buffer{};
    while (const size_t size = fread(buffer.data(), 1, buffer.size(), output)) {
        text.append(buffer.data(), size);
    }
    if (pclose(output) != 0) {
        ADD_FAILURE() << text;
        return std::nullopt;
    }
    while (text.ends_with('\n')) {
        text.pop_back();
    }
    return text;
}

}  // namespace millrace::duckdb
