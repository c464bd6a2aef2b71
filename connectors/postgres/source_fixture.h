/// What the real-server tests of the source share: a recorder of changes and a source over a test database.
/// Not for: production code.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/text.h"
#include "connectors/postgres/options.h"
#include "connectors/postgres/session.h"
#include "connectors/postgres/source.h"
#include "connectors/sdk/source.h"
#include "tests/support/postgres.h"

namespace millrace::postgres {

/// Cells as text: NULL is "-", unchanged is "~".
inline std::string RowText(sdk::RowView row) {
    std::string text;
    for (const sdk::Cell& cell : row) {
        base::Append(text, text.empty() ? "" : ",",
                     cell.is_null()        ? std::string_view("-")
                     : cell.is_unchanged() ? std::string_view("~")
                                           : cell.text());
    }
    return text;
}

/// "U t(1,b)<(1,a)" for an update of table t; commits are "C".
class Recorder final : public sdk::ChangeHandler {
 public:
    struct Entry final {
        std::string text;
        sdk::Position position;
        sdk::SchemaPtr schema;
    };

    absl::Status OnChange(const sdk::ChangeEvent& event) override {
        static constexpr std::string_view kLetters = "?IUDTR";
        std::string text(1, kLetters[static_cast<size_t>(event.op)]);
        base::Append(text, " ", event.schema->table);
        if (!event.after.empty()) {
            base::Append(text, "(", RowText(event.after), ")");
        }
        if (!event.before.empty()) {
            base::Append(text, "<(", RowText(event.before), ")");
        }
        changes.push_back({.text = std::move(text), .position = event.position, .schema = event.schema});
        if (static_cast<int>(changes.size()) == fail_at) {
            return absl::CancelledError("stopped by the test");
        }
        return absl::OkStatus();
    }
    absl::Status OnCommit(uint64_t commit, uint64_t end, int64_t commit_time_us) override {
        EXPECT_GT(end, commit);
        EXPECT_GT(commit_time_us, 1'600'000'000'000'000);
        EXPECT_GT(commit, last_commit) << "transactions come in commit order";
        last_commit = commit;
        last_end = end;
        ++commits;
        return absl::OkStatus();
    }
    absl::Status OnProgress(uint64_t position) override {
        progress = std::max(progress, position);
        return absl::OkStatus();
    }

    [[nodiscard]] std::vector<std::string> Texts() const {
        std::vector<std::string> texts;
        for (const Entry& entry : changes) {
            texts.push_back(entry.text);
        }
        return texts;
    }

    std::vector<Entry> changes;
    uint64_t last_commit = 0;
    uint64_t last_end = 0;
    uint64_t progress = 0;
    int commits = 0;
    int fail_at = -1;
};

inline sdk::Options OptionsFor(const base::PqParameters& parameters) {
    sdk::Options options;
    for (const auto& [keyword, value] : parameters.keywords) {
        options.values[keyword == "dbname" ? "database" : keyword] = value;
    }
    options.secrets["password"] = parameters.password;
    return options;
}

/// Runs one statement and returns its first cell, "" when there is none; fails the test when it fails.
inline std::string RunSql(base::PqConnection& session, const std::string& sql) {
    const absl::StatusOr<base::PqResult> result = session.Execute(sql);
    EXPECT_TRUE(result.ok()) << base::Describe(result.status()) << ": " << sql;
    return result.ok() && result->rows() > 0 && result->columns() > 0 ? std::string(result->Get(0, 0)) : "";
}

/// A database of its own, and a stream whose slot goes with it.
class SourceTest : public ::testing::Test {
 protected:
    SourceTest() : session_(NewSession()) {
        static std::atomic<int> counter = 0;
        stream_ = base::Concat("test-", ::getpid(), "-", ++counter);
    }
    ~SourceTest() override {
        // A database with a slot cannot be dropped, and a slot goes only after its receiver has ended.
        for (int attempt = 0; attempt < 200; ++attempt) {
            RunSql(*session_,
                   "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active AND "
                   "database = current_database()");
            const absl::Status dropped = session_
                                             ->Execute(
                                                 "SELECT pg_drop_replication_slot(slot_name) FROM "
                                                 "pg_replication_slots WHERE database = current_database()")
                                             .status();
            if (dropped.ok()) {
                return;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
    }

    [[nodiscard]] std::unique_ptr<base::PqConnection> NewSession() const {
        auto session = base::PqConnection::Connect(database_.parameters());
        EXPECT_TRUE(session.ok()) << base::Describe(session.status());
        return *std::move(session);
    }

    std::unique_ptr<sdk::Source> NewSource() { return NewSource(database_.parameters()); }
    std::unique_ptr<sdk::Source> NewSource(const base::PqParameters& parameters) {
        auto source = MakeSource(OptionsFor(parameters), stream_);
        EXPECT_TRUE(source.ok());
        return *std::move(source);
    }

    /// Publishes every table, makes the slot and starts. The first copy is not read.
    std::unique_ptr<sdk::Source> StartedSource() {
        std::unique_ptr<sdk::Source> source = NewSource();
        auto tables = source->ListTables({.tables = {"*.*"}, .exclude = {}});
        EXPECT_TRUE(tables.ok()) << base::Describe(tables.status());
        EXPECT_TRUE(source->Prepare(*tables).ok());
        auto begun = source->BeginCopy(true, std::chrono::minutes(2));
        EXPECT_TRUE(begun.ok()) << base::Describe(begun.status());
        EXPECT_TRUE(source->EndCopy().ok());
        const absl::Status started = source->Start(*begun);
        EXPECT_TRUE(started.ok()) << base::Describe(started);
        return source;
    }

    /// Polls until `done`; fails the test after ten seconds.
    static void PollUntil(sdk::Source& source, Recorder& recorder, const std::function<bool()>& done) {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
        while (!done()) {
            const auto polled = source.Poll(recorder, std::chrono::milliseconds(100), 1000);
            ASSERT_TRUE(polled.ok()) << base::Describe(polled.status());
            ASSERT_LT(std::chrono::steady_clock::now(), deadline)
                << ::testing::PrintToString(recorder.Texts());
        }
    }

    /// Polls until everything that is committed now has come.
    static void Drain(sdk::Source& source, Recorder& recorder) {
        const auto position = source.CurrentPosition();
        ASSERT_TRUE(position.ok());
        ASSERT_TRUE(source.Heartbeat().ok());
        PollUntil(source, recorder, [&] { return recorder.last_end > *position; });
    }

    /// As superuser.
    std::string Sql(const std::string& sql) { return RunSql(*session_, sql); }
    [[nodiscard]] std::string SlotName() const { return NamesFor(stream_).slot; }

    testing_support::PostgresDatabase database_;
    std::unique_ptr<base::PqConnection> session_;
    std::string stream_;
};

}  // namespace millrace::postgres
