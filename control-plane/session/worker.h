/// What the hub remembers of one worker; memory only. Not for: the plane as a whole (hub.h).
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "control-plane/domain/status.h"
#include "control-plane/session/worker_link.h"
#include "millrace/v1/link.pb.h"

namespace millrace::session {

/// Not thread-safe.
class Worker final {
 public:
    /// What a snapshot says of one pipeline, as far as its acknowledgement matters.
    struct PushedPipeline {
        int64_t generation = 0;
        bool deleted = false;
    };
    using PushedPipelines = std::map<std::string, PushedPipeline>;

    /// A new session begins; facts of another boot are forgotten.
    void Begin(int64_t session, const v1::Hello& hello, std::shared_ptr<WorkerLink> link, absl::Time now);
    void End(absl::Time now);

    /// Sends the snapshot unless this session was sent the same generation already.
    void Push(const v1::ConfigSnapshot& snapshot, const std::shared_ptr<const PushedPipelines>& pipelines);
    /// Takes an acknowledgement, a refusal, facts or a goodbye in; returns the pipelines that it calls
    /// removed. InvalidArgument (reason LINK_PROTOCOL) for any other message.
    absl::StatusOr<std::vector<std::string>> Take(const v1::ConnectRequest& message, absl::Time now);

    /// Those of `names` that this worker has acknowledged as deleted, with their generation; remembered.
    std::map<std::string, int64_t> ConfirmRemovals(const std::vector<std::string>& names);
    /// Whether this worker has said that nothing of that generation of the pipeline is left with it.
    [[nodiscard]] bool HasConfirmed(const std::string& pipeline, int64_t generation) const;
    /// Whether this session was sent the pipeline.
    [[nodiscard]] bool Knows(const std::string& pipeline) const;
    [[nodiscard]] domain::WorkerReport Report(const std::string& pipeline) const;
    [[nodiscard]] v1::WorkerStatus Status() const;

    [[nodiscard]] bool connected() const { return link_ != nullptr; }
    [[nodiscard]] int64_t session() const { return session_; }
    [[nodiscard]] const std::string& boot_id() const { return boot_id_; }
    [[nodiscard]] const std::string& key_fingerprint() const { return key_fingerprint_; }
    [[nodiscard]] absl::Time last_seen() const { return last_seen_; }
    [[nodiscard]] WorkerLink* link() const { return link_.get(); }
    void set_key_fingerprint(std::string fingerprint) { key_fingerprint_ = std::move(fingerprint); }

 private:
    struct Sent {
        std::string nonce;
        int64_t generation;
        std::shared_ptr<const PushedPipelines> pipelines;
    };

    /// One to a nonce that is none of the last that were sent is dropped.
    void Acknowledge(const std::string& nonce,
                     const google::protobuf::RepeatedPtrField<v1::Rejection>& rejected, absl::Time now);
    void TakeFacts(const v1::Facts& facts, absl::Time now);

    std::string worker_id_;
    std::string boot_id_;
    std::string role_;
    std::string version_;
    std::string key_fingerprint_;
    int64_t session_ = 0;
    std::shared_ptr<WorkerLink> link_;
    absl::Time last_seen_ = absl::InfinitePast();

    std::string sent_epoch_;
    int64_t sent_generation_ = -1;
    int64_t pushes_ = 0;
    std::deque<Sent> sent_;
    int64_t applied_generation_ = 0;
    absl::Time acked_at_ = absl::InfinitePast();
    PushedPipelines acked_;
    std::map<std::string, int64_t> confirmed_;
    std::map<std::string, v1::Rejection> rejected_;
    std::map<std::string, v1::PipelineFacts> facts_;
    absl::Time facts_at_ = absl::InfinitePast();
};

}  // namespace millrace::session
