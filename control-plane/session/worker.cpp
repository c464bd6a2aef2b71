#include "control-plane/session/worker.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"

namespace millrace::session {
namespace {

// A worker answers snapshots in turn; more than these are never under way in practice.
constexpr size_t kMaxUnansweredSnapshots = 8;

}  // namespace

void Worker::Begin(int64_t session, const v1::Hello& hello, std::shared_ptr<WorkerLink> link,
                   absl::Time now) {
    if (boot_id_ != hello.boot_id()) {
        facts_.clear();
        facts_at_ = absl::InfinitePast();
    }
    worker_id_ = hello.worker_id();
    boot_id_ = hello.boot_id();
    role_ = hello.role();
    version_ = hello.version();
    session_ = session;
    link_ = std::move(link);
    last_seen_ = now;
    sent_epoch_.clear();
    sent_generation_ = -1;
    sent_.clear();
    applied_generation_ = hello.applied_generation();
    acked_.clear();
    rejected_.clear();
}

void Worker::End(absl::Time now) {
    link_.reset();
    last_seen_ = now;
}

void Worker::Push(const v1::ConfigSnapshot& snapshot,
                  const std::shared_ptr<const PushedPipelines>& pipelines) {
    if (!connected() || (snapshot.epoch() == sent_epoch_ && snapshot.generation() <= sent_generation_)) {
        return;
    }
    sent_epoch_ = snapshot.epoch();
    sent_generation_ = snapshot.generation();
    v1::ConnectResponse message;
    *message.mutable_snapshot() = snapshot;
    message.mutable_snapshot()->set_nonce(absl::StrCat("s", session_, "-", ++pushes_));
    sent_.push_back(Sent{message.snapshot().nonce(), snapshot.generation(), pipelines});
    if (sent_.size() > kMaxUnansweredSnapshots) {
        sent_.pop_front();
    }
    link_->Send(std::move(message));
}

absl::StatusOr<std::vector<std::string>> Worker::Take(const v1::ConnectRequest& message, absl::Time now) {
    last_seen_ = now;
    std::vector<std::string> removed;
    switch (message.message_case()) {
        case v1::ConnectRequest::kAck:
            Acknowledge(message.ack().nonce(), {}, now);
            removed.assign(message.ack().removed().begin(), message.ack().removed().end());
            return removed;
        case v1::ConnectRequest::kNack:
            Acknowledge(message.nack().nonce(), message.nack().rejected(), now);
            return removed;
        case v1::ConnectRequest::kFacts:
            TakeFacts(message.facts(), now);
            for (const v1::PipelineFacts& facts : message.facts().pipelines()) {
                if (facts.removed()) {
                    removed.push_back(facts.name());
                }
            }
            return removed;
        case v1::ConnectRequest::kGoodbye:
            return removed;
        default:
            return base::MakeError(absl::StatusCode::kInvalidArgument, "LINK_PROTOCOL",
                                   "The worker sent a message that is not known at this place.",
                                   "Run a version of millrace-worker that fits this control plane.");
    }
}

void Worker::Acknowledge(const std::string& nonce,
                         const google::protobuf::RepeatedPtrField<v1::Rejection>& rejected, absl::Time now) {
    const auto found =
        std::find_if(sent_.begin(), sent_.end(), [&](const Sent& sent) { return sent.nonce == nonce; });
    if (found == sent_.end()) {
        return;
    }
    rejected_.clear();
    for (const v1::Rejection& rejection : rejected) {
        rejected_[rejection.resource()] = rejection;
        base::LogWarning(
            "a worker refused a pipeline's configuration",
            {{"worker", worker_id_}, {"pipeline", rejection.resource()}, {"reason", rejection.reason()}});
    }
    PushedPipelines acked = *found->pipelines;
    for (const auto& [name, rejection] : rejected_) {
        // It goes on with what it had before, if anything.
        const auto before = acked_.find(name);
        if (before == acked_.end()) {
            acked.erase(name);
        } else {
            acked[name] = before->second;
        }
    }
    acked_ = std::move(acked);
    applied_generation_ = found->generation;
    acked_at_ = now;
    sent_.erase(sent_.begin(), found + 1);
}

void Worker::TakeFacts(const v1::Facts& facts, absl::Time now) {
    facts_.clear();
    for (const v1::PipelineFacts& pipeline : facts.pipelines()) {
        v1::PipelineFacts& kept = facts_[pipeline.name()];
        kept = pipeline;
        kept.clear_events();
    }
    facts_at_ = now;
}

std::map<std::string, int64_t> Worker::ConfirmRemovals(const std::vector<std::string>& names) {
    std::map<std::string, int64_t> confirmed;
    for (const std::string& name : names) {
        const auto found = acked_.find(name);
        if (found != acked_.end() && found->second.deleted) {
            confirmed[name] = found->second.generation;
            confirmed_[name] = found->second.generation;
        }
    }
    return confirmed;
}

bool Worker::HasConfirmed(const std::string& pipeline, int64_t generation) const {
    const auto found = confirmed_.find(pipeline);
    return found != confirmed_.end() && found->second == generation;
}

bool Worker::Knows(const std::string& pipeline) const {
    return acked_.contains(pipeline) || std::any_of(sent_.begin(), sent_.end(), [&](const Sent& sent) {
               return sent.pipelines->contains(pipeline);
           });
}

domain::WorkerReport Worker::Report(const std::string& pipeline) const {
    domain::WorkerReport report;
    report.worker_id = worker_id_;
    report.role = role_;
    report.connected = connected();
    if (const auto acked = acked_.find(pipeline); acked != acked_.end()) {
        report.acked_generation = acked->second.generation;
        report.acked_at = acked_at_;
    }
    if (const auto rejected = rejected_.find(pipeline); rejected != rejected_.end()) {
        report.rejection = rejected->second;
    }
    if (const auto facts = facts_.find(pipeline); facts != facts_.end()) {
        report.facts = facts->second;
        report.facts_at = facts_at_;
    }
    return report;
}

v1::WorkerStatus Worker::Status() const {
    v1::WorkerStatus status;
    status.set_worker_id(worker_id_);
    status.set_role(role_);
    status.set_version(version_);
    status.set_connected(connected());
    status.set_applied_generation(applied_generation_);
    *status.mutable_last_seen() =
        google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(absl::ToUnixMicros(last_seen_));
    return status;
}

}  // namespace millrace::session
