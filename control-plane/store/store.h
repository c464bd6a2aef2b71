/// Where resources live: a revisioned key-value store with transactions, compare-and-set and watch, behind
/// one interface. Not for: what the bytes mean (resources.h), status (kept in memory, derived from facts).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace millrace::store {

/// One stored value.
struct Record final {
    std::string name;
    std::string bytes;
    /// Revision of the store at its last write; never 0.
    int64_t revision = 0;
};

struct Page final {
    /// In order of name.
    std::vector<Record> records;
    bool more = false;
};

/// What a write expects to find: anything, nothing, or the revision that the writer has read.
struct Expected final {
    int64_t revision = -1;

    static Expected Any() { return Expected{-1}; }
    static Expected Absent() { return Expected{0}; }
    static Expected Revision(int64_t revision) { return Expected{revision}; }
};

/// One entry of a log.
struct LogEntry final {
    /// Rises by one from entry to entry; never used again.
    int64_t sequence = 0;
    std::string bytes;
};

/// A consistent view. Valid only inside the call that hands it out; one thread.
class Reader {
 public:
    virtual ~Reader() = default;
    /// NotFound (reason NOT_STORED).
    virtual absl::StatusOr<Record> Get(const std::string& kind, const std::string& name) const = 0;
    /// Records of `kind` whose name begins with `parent` + "/" (all of the kind when `parent` is empty) and
    /// comes after `after` in byte order; at most `limit`.
    virtual absl::StatusOr<Page> List(const std::string& kind, const std::string& parent,
                                      const std::string& after, size_t limit) const = 0;
    /// Generation of a plane's desired state; 0 for one that never advanced.
    virtual absl::StatusOr<int64_t> PlaneGeneration(const std::string& plane) const = 0;
    /// At most `limit` entries after `sequence`, oldest first; for a negative one the newest `limit`.
    virtual absl::StatusOr<std::vector<LogEntry>> ReadLog(const std::string& log, int64_t after,
                                                          size_t limit) const = 0;
};

/// A serialisable transaction: all of its writes share one new revision and are seen by its own reads.
class Transaction : public Reader {
 public:
    /// Returns the revision of this transaction. Aborted (reason REVISION_MISMATCH) when `expected` does not
    /// hold: read again and decide anew.
    virtual absl::StatusOr<int64_t> Put(const std::string& kind, const std::string& name,
                                        const std::string& bytes, Expected expected) = 0;
    /// NotFound when there is none; Aborted as Put.
    virtual absl::Status Delete(const std::string& kind, const std::string& name, Expected expected) = 0;
    /// Mints the plane's next generation; at most once per transaction and plane does it rise. Returns it.
    virtual absl::StatusOr<int64_t> AdvancePlane(const std::string& plane) = 0;
    /// Appends an entry and lets go of all but the last `keep` (at least 1); nothing when the log has an entry of that
    /// `id`. No change that a watch sees.
    virtual absl::Status AppendLog(const std::string& log, const std::string& id, const std::string& bytes,
                                   int64_t keep) = 0;
    virtual absl::Status DeleteLog(const std::string& log) = 0;
};

/// Kind of the Change that says that the generation of the plane of that name rose.
inline constexpr char kPlaneGenerationKind[] = "plane_generation";

/// That something changed; the watcher reads what it is now.
struct Change final {
    int64_t revision = 0;
    std::string kind;
    std::string name;
    bool deleted = false;
};

/// Any thread. A store that cannot be read or written answers Unavailable or Internal, naming it.
class Store {
 public:
    /// Ends its watch when destroyed; waits for a callback that runs. Must not be destroyed by the callback.
    class Watch {
     public:
        virtual ~Watch() = default;
    };

    virtual ~Store() = default;

    /// Runs `body` on a consistent view and returns its status.
    virtual absl::Status View(const std::function<absl::Status(const Reader&)>& body) const = 0;
    /// Runs `body` in a transaction; commits, durably, when it returns OK and rolls everything back
    /// otherwise. `body` may run more than once and must not call the store.
    virtual absl::Status Update(const std::function<absl::Status(Transaction&)>& body) = 0;

    /// Revision of the last committed write.
    virtual absl::StatusOr<int64_t> CurrentRevision() const = 0;
    /// Made with the store; differs from every other store's.
    virtual absl::StatusOr<std::string> Epoch() const = 0;
    /// Makes a new epoch: what planes have seen of this store is not its past (it was restored from an older
    /// copy).
    virtual absl::Status RenewEpoch() = 0;

    /// Calls `callback` for every change after `revision`, in order, on a thread of the store. OutOfRange
    /// (reason REVISION_COMPACTED) when those changes are no longer kept: list, then watch from
    /// CurrentRevision().
    virtual absl::StatusOr<std::unique_ptr<Watch>> StartWatch(
        int64_t revision, std::function<void(const Change&)> callback) = 0;
};

}  // namespace millrace::store
