#include "control-plane/store/sqlite_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>
#include <mutex>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "control-plane/store/sqlite_database.h"
#include "control-plane/store/uuid.h"
#include "control-plane/store/watchers.h"

namespace millrace::store {
namespace {

constexpr int64_t kSchemaVersion = 1;

constexpr char kSchema[] = R"sql(
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS resources (
    kind TEXT NOT NULL, name TEXT NOT NULL, revision INTEGER NOT NULL, bytes BLOB NOT NULL,
    PRIMARY KEY (kind, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS plane_generations (plane TEXT PRIMARY KEY, generation INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS changes (
    revision INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, deleted INTEGER NOT NULL,
    PRIMARY KEY (revision, kind, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS logs (
    log TEXT NOT NULL, sequence INTEGER NOT NULL, id TEXT NOT NULL, bytes BLOB NOT NULL,
    PRIMARY KEY (log, sequence), UNIQUE (log, id)) WITHOUT ROWID;
INSERT OR IGNORE INTO counters VALUES ('revision', 0);
)sql";

/// Held as long as the process lives, so that two control planes never write one store.
class LockFile final {
 public:
    static absl::StatusOr<std::unique_ptr<LockFile>> Take(const std::string& path) {
        const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (file < 0) {
            return base::MakeError(absl::StatusCode::kUnavailable, "STORE_FAILED",
                                   absl::StrCat("The lock file ", path, " cannot be opened."),
                                   "Give --store a path in a folder that this process may write.");
        }
        auto lock = std::unique_ptr<LockFile>(new LockFile(file));
        if (flock(file, LOCK_EX | LOCK_NB) != 0) {
            return base::MakeError(absl::StatusCode::kFailedPrecondition, "STORE_LOCKED",
                                   absl::StrCat("Another process holds the store (", path, ")."),
                                   "Stop the other millrace-control or give this one another --store.");
        }
        return lock;
    }
    ~LockFile() { close(file_); }
    LockFile(const LockFile&) = delete;
    LockFile& operator=(const LockFile&) = delete;

 private:
    explicit LockFile(int file) : file_(file) {}
    int file_;
};

class SqliteTransaction final : public Transaction {
 public:
    explicit SqliteTransaction(SqliteDatabase& database) : database_(database) {}

    absl::StatusOr<Record> Get(const std::string& kind, const std::string& name) const override {
        ASSIGN_OR_RETURN(
            auto query,
            database_.Prepare("SELECT revision, bytes FROM resources WHERE kind = ?1 AND name = ?2"));
        ASSIGN_OR_RETURN(const bool found, query.Bind(1, kind).Bind(2, name).Step());
        if (!found) {
            return base::MakeError(absl::StatusCode::kNotFound, "NOT_STORED",
                                   absl::StrCat(name, " does not exist."));
        }
        return Record{name, query.Text(1), query.Integer(0)};
    }

    absl::StatusOr<Page> List(const std::string& kind, const std::string& parent, const std::string& after,
                              size_t limit) const override {
        // '0' follows '/' in byte order: the names below the parent are exactly this range.
        const std::string begin = parent.empty() ? std::string() : parent + "/";
        const std::string end = parent.empty() ? std::string("\xff") : parent + "0";
        ASSIGN_OR_RETURN(
            auto query,
            database_.Prepare("SELECT name, revision, bytes FROM resources WHERE kind = ?1 AND name >= ?2 "
                              "AND name < ?3 AND name > ?4 ORDER BY name LIMIT ?5"));
        query.Bind(1, kind).Bind(2, begin).Bind(3, end).Bind(4, after).Bind(5,
                                                                            static_cast<int64_t>(limit) + 1);
        Page page;
        while (true) {
            ASSIGN_OR_RETURN(const bool row, query.Step());
            if (!row) {
                return page;
            }
            if (page.records.size() == limit) {
                page.more = true;
                return page;
            }
            page.records.push_back(Record{query.Text(0), query.Text(2), query.Integer(1)});
        }
    }

    absl::StatusOr<int64_t> PlaneGeneration(const std::string& plane) const override {
        ASSIGN_OR_RETURN(auto query,
                         database_.Prepare("SELECT generation FROM plane_generations WHERE plane = ?1"));
        ASSIGN_OR_RETURN(const bool found, query.Bind(1, plane).Step());
        return found ? query.Integer(0) : 0;
    }

    absl::StatusOr<std::vector<LogEntry>> ReadLog(const std::string& log, int64_t after,
                                                  size_t limit) const override {
        int64_t from = after;
        if (after < 0) {
            ASSIGN_OR_RETURN(const int64_t last, LastOf(log));
            from = last - static_cast<int64_t>(limit);
        }
        ASSIGN_OR_RETURN(auto query, database_.Prepare("SELECT sequence, bytes FROM logs WHERE log = ?1 AND "
                                                       "sequence > ?2 ORDER BY sequence LIMIT ?3"));
        query.Bind(1, log).Bind(2, from).Bind(3, static_cast<int64_t>(limit));
        std::vector<LogEntry> entries;
        while (true) {
            ASSIGN_OR_RETURN(const bool row, query.Step());
            if (!row) {
                return entries;
            }
            entries.push_back(LogEntry{query.Integer(0), query.Text(1)});
        }
    }

    absl::Status AppendLog(const std::string& log, const std::string& id, const std::string& bytes,
                           int64_t keep) override {
        ASSIGN_OR_RETURN(const int64_t last, LastOf(log));
        ASSIGN_OR_RETURN(auto known, database_.Prepare("SELECT 1 FROM logs WHERE log = ?1 AND id = ?2"));
        ASSIGN_OR_RETURN(const bool found, known.Bind(1, log).Bind(2, id).Step());
        if (found) {
            return absl::OkStatus();
        }
        ASSIGN_OR_RETURN(auto write, database_.Prepare("INSERT INTO logs VALUES (?1, ?2, ?3, ?4)"));
        RETURN_IF_ERROR(write.Bind(1, log).Bind(2, last + 1).Bind(3, id).BindBlob(4, bytes).Run());
        ASSIGN_OR_RETURN(auto prune, database_.Prepare("DELETE FROM logs WHERE log = ?1 AND sequence <= ?2"));
        return prune.Bind(1, log).Bind(2, last + 1 - keep).Run();
    }

    absl::Status DeleteLog(const std::string& log) override {
        ASSIGN_OR_RETURN(auto write, database_.Prepare("DELETE FROM logs WHERE log = ?1"));
        return write.Bind(1, log).Run();
    }

    absl::StatusOr<int64_t> Put(const std::string& kind, const std::string& name, const std::string& bytes,
                                Expected expected) override {
        RETURN_IF_ERROR(Check(kind, name, expected));
        ASSIGN_OR_RETURN(const int64_t revision, Log(kind, name, false));
        ASSIGN_OR_RETURN(auto write,
                         database_.Prepare("INSERT OR REPLACE INTO resources (kind, name, revision, bytes) "
                                           "VALUES (?1, ?2, ?3, ?4)"));
        RETURN_IF_ERROR(write.Bind(1, kind).Bind(2, name).Bind(3, revision).BindBlob(4, bytes).Run());
        return revision;
    }

    absl::Status Delete(const std::string& kind, const std::string& name, Expected expected) override {
        RETURN_IF_ERROR(Get(kind, name).status());
        RETURN_IF_ERROR(Check(kind, name, expected));
        RETURN_IF_ERROR(Log(kind, name, true).status());
        ASSIGN_OR_RETURN(auto write,
                         database_.Prepare("DELETE FROM resources WHERE kind = ?1 AND name = ?2"));
        return write.Bind(1, kind).Bind(2, name).Run();
    }

    absl::StatusOr<int64_t> AdvancePlane(const std::string& plane) override {
        ASSIGN_OR_RETURN(const int64_t generation, PlaneGeneration(plane));
        if (!advanced_.insert(plane).second) {
            return generation;
        }
        RETURN_IF_ERROR(Log(kPlaneGenerationKind, plane, false).status());
        ASSIGN_OR_RETURN(auto write,
                         database_.Prepare("INSERT OR REPLACE INTO plane_generations VALUES (?1, ?2)"));
        RETURN_IF_ERROR(write.Bind(1, plane).Bind(2, generation + 1).Run());
        return generation + 1;
    }

    [[nodiscard]] bool wrote() const { return revision_ != 0; }

 private:
    absl::Status Check(const std::string& kind, const std::string& name, Expected expected) const {
        if (expected.revision < 0) {
            return absl::OkStatus();
        }
        const auto found = Get(kind, name);
        if (!found.ok() && !absl::IsNotFound(found.status())) {
            return found.status();
        }
        if ((found.ok() ? found->revision : 0) != expected.revision) {
            return base::MakeError(absl::StatusCode::kAborted, "REVISION_MISMATCH",
                                   absl::StrCat(name, " was changed by someone else meanwhile."),
                                   "Read it again and repeat the change.");
        }
        return absl::OkStatus();
    }

    absl::StatusOr<int64_t> LastOf(const std::string& log) const {
        ASSIGN_OR_RETURN(auto query,
                         database_.Prepare("SELECT coalesce(max(sequence), 0) FROM logs WHERE log = ?1"));
        RETURN_IF_ERROR(query.Bind(1, log).Step().status());
        return query.Integer(0);
    }

    /// Notes the change under this transaction's revision, which the first change mints.
    absl::StatusOr<int64_t> Log(const std::string& kind, const std::string& name, bool deleted) {
        if (revision_ == 0) {
            RETURN_IF_ERROR(
                database_.Execute("UPDATE counters SET value = value + 1 WHERE name = 'revision'"));
            ASSIGN_OR_RETURN(auto query,
                             database_.Prepare("SELECT value FROM counters WHERE name = 'revision'"));
            RETURN_IF_ERROR(query.Step().status());
            revision_ = query.Integer(0);
            ASSIGN_OR_RETURN(auto prune, database_.Prepare("DELETE FROM changes WHERE revision <= ?1"));
            RETURN_IF_ERROR(prune.Bind(1, revision_ - kChangesKept).Run());
        }
        ASSIGN_OR_RETURN(auto write,
                         database_.Prepare("INSERT OR REPLACE INTO changes VALUES (?1, ?2, ?3, ?4)"));
        RETURN_IF_ERROR(write.Bind(1, revision_).Bind(2, kind).Bind(3, name).Bind(4, int64_t{deleted}).Run());
        return revision_;
    }

    SqliteDatabase& database_;
    int64_t revision_ = 0;
    std::set<std::string> advanced_;
};

class SqliteStore final : public Store {
 public:
    SqliteStore(std::unique_ptr<LockFile> lock, std::unique_ptr<SqliteDatabase> database)
        : lock_(std::move(lock)),
          database_(std::move(database)),
          watchers_([this](int64_t revision) { return ChangesAfter(revision); }) {}

    absl::Status Initialise() {
        RETURN_IF_ERROR(database_->Execute("BEGIN IMMEDIATE"));
        const absl::Status status = MakeTables();
        RETURN_IF_ERROR(
            base::Annotate(database_->Execute(status.ok() ? "COMMIT" : "ROLLBACK"), "making the tables"));
        return status;
    }

    absl::Status View(const std::function<absl::Status(const Reader&)>& body) const override {
        const std::lock_guard guard(mutex_);
        RETURN_IF_ERROR(database_->Execute("BEGIN"));
        const absl::Status status = body(SqliteTransaction(*database_));
        RETURN_IF_ERROR(database_->Execute("ROLLBACK"));
        return status;
    }

    absl::Status Update(const std::function<absl::Status(Transaction&)>& body) override {
        {
            const std::lock_guard guard(mutex_);
            RETURN_IF_ERROR(database_->Execute("BEGIN IMMEDIATE"));
            SqliteTransaction transaction(*database_);
            absl::Status status = body(transaction);
            if (status.ok()) {
                status = database_->Execute("COMMIT");
            }
            if (!status.ok()) {
                // After some failures SQLite has rolled back by itself; the first error is the one to tell.
                (void)database_->Execute("ROLLBACK");
                return status;
            }
            if (!transaction.wrote()) {
                return absl::OkStatus();
            }
        }
        watchers_.Wake();
        return absl::OkStatus();
    }

    absl::StatusOr<int64_t> CurrentRevision() const override {
        const std::lock_guard guard(mutex_);
        ASSIGN_OR_RETURN(auto query,
                         database_->Prepare("SELECT value FROM counters WHERE name = 'revision'"));
        RETURN_IF_ERROR(query.Step().status());
        return query.Integer(0);
    }

    absl::StatusOr<std::string> Epoch() const override {
        const std::lock_guard guard(mutex_);
        ASSIGN_OR_RETURN(auto query, database_->Prepare("SELECT value FROM meta WHERE key = 'epoch'"));
        RETURN_IF_ERROR(query.Step().status());
        return query.Text(0);
    }

    absl::Status RenewEpoch() override {
        const std::lock_guard guard(mutex_);
        return PutMeta("epoch", NewUuid());
    }

    absl::StatusOr<std::unique_ptr<Watch>> StartWatch(int64_t revision,
                                                      std::function<void(const Change&)> callback) override {
        ASSIGN_OR_RETURN(const int64_t current, CurrentRevision());
        if (revision < current - kChangesKept) {
            return base::MakeError(absl::StatusCode::kOutOfRange, "REVISION_COMPACTED",
                                   absl::StrCat("Changes after revision ", revision, " are no longer kept."));
        }
        return watchers_.Add(revision, std::move(callback));
    }

 private:
    absl::Status MakeTables() {
        RETURN_IF_ERROR(database_->Execute(kSchema));
        ASSIGN_OR_RETURN(auto query,
                         database_->Prepare("SELECT value FROM meta WHERE key = 'schema_version'"));
        ASSIGN_OR_RETURN(const bool found, query.Step());
        if (!found) {
            RETURN_IF_ERROR(PutMeta("epoch", NewUuid()));
            return PutMeta("schema_version", absl::StrCat(kSchemaVersion));
        }
        if (query.Text(0) != absl::StrCat(kSchemaVersion)) {
            return base::MakeError(absl::StatusCode::kFailedPrecondition, "STORE_TOO_NEW",
                                   absl::StrCat("The store has layout ", query.Text(0),
                                                "; this program knows ", kSchemaVersion, "."),
                                   "Run the version of millrace-control that wrote it, or a later one.");
        }
        return absl::OkStatus();
    }

    absl::Status PutMeta(const std::string& key, const std::string& value) {
        ASSIGN_OR_RETURN(auto write, database_->Prepare("INSERT OR REPLACE INTO meta VALUES (?1, ?2)"));
        return write.Bind(1, key).Bind(2, value).Run();
    }

    absl::StatusOr<std::vector<Change>> ChangesAfter(int64_t revision) const {
        const std::lock_guard guard(mutex_);
        ASSIGN_OR_RETURN(auto query, database_->Prepare("SELECT revision, kind, name, deleted FROM changes "
                                                        "WHERE revision > ?1 ORDER BY revision, kind, name"));
        query.Bind(1, revision);
        std::vector<Change> changes;
        while (true) {
            ASSIGN_OR_RETURN(const bool row, query.Step());
            if (!row) {
                return changes;
            }
            changes.push_back(Change{query.Integer(0), query.Text(1), query.Text(2), query.Integer(3) != 0});
        }
    }

    std::unique_ptr<LockFile> lock_;
    mutable std::mutex mutex_;
    std::unique_ptr<SqliteDatabase> database_;
    // Last: its thread reads the database.
    Watchers watchers_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> OpenSqliteStore(const std::string& path) {
    const std::filesystem::path folder = std::filesystem::path(path).parent_path();
    std::error_code failed;
    if (!folder.empty()) {
        std::filesystem::create_directories(folder, failed);
    }
    ASSIGN_OR_RETURN(auto lock, LockFile::Take(path + ".lock"));
    ASSIGN_OR_RETURN(auto database, SqliteDatabase::Open(path));
    auto store = std::make_unique<SqliteStore>(std::move(lock), std::move(database));
    RETURN_IF_ERROR(store->Initialise());
    return store;
}

}  // namespace millrace::store
