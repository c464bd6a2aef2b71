#include "control-plane/domain/status.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "control-plane/domain/pipeline_spec.h"
#include "control-plane/domain/table_status.h"

namespace millrace::domain {
namespace {

constexpr int kHeartbeatsUntilUnknown = 3;

using State = v1::PipelineStatus::State;

struct Verdict {
    State state;
    std::string reason;
    std::string message;
};

/// "sentence. remedy".
std::string Sentence(const std::string& error, const std::string& remedy) {
    if (error.empty() || remedy.empty()) {
        return error + remedy;
    }
    return absl::StrCat(error, error.back() == '.' ? " " : ". ", remedy);
}

bool IsFresh(const WorkerReport& worker, absl::Time fresh_after) {
    return worker.facts.has_value() && worker.facts_at >= fresh_after;
}

/// The publisher's facts of whoever publishes; of a stand-by only when nobody does.
const v1::PublisherFacts* FindPublisher(const std::vector<WorkerReport>& workers, absl::Time fresh_after) {
    const v1::PublisherFacts* best = nullptr;
    absl::Time best_at = absl::InfinitePast();
    for (const WorkerReport& worker : workers) {
        if (!IsFresh(worker, fresh_after) || !worker.facts->has_publisher()) {
            continue;
        }
        const auto& facts = worker.facts->publisher();
        const bool active = facts.state() != v1::PublisherFacts::STATE_STANDBY;
        const bool best_active = best != nullptr && best->state() != v1::PublisherFacts::STATE_STANDBY;
        if (best == nullptr || active > best_active || (active == best_active && worker.facts_at > best_at)) {
            best = &facts;
            best_at = worker.facts_at;
        }
    }
    return best;
}

struct TableCounts {
    int total = 0;
    int waiting = 0;
    int copying = 0;
    int held = 0;
    int retrying = 0;
    int unknown = 0;
    const v1::TableStatus* worst = nullptr;
};

TableCounts Count(const v1::PipelineStatus& status) {
    TableCounts counts;
    for (const v1::TableStatus& table : status.tables()) {
        ++counts.total;
        counts.waiting += table.state() == v1::TableStatus::STATE_WAITING ? 1 : 0;
        counts.copying += table.state() == v1::TableStatus::STATE_COPYING ? 1 : 0;
        counts.unknown += table.state() == v1::TableStatus::STATE_UNKNOWN ? 1 : 0;
        const bool held = table.state() == v1::TableStatus::STATE_HELD;
        const bool retrying = table.state() == v1::TableStatus::STATE_RETRYING;
        counts.held += held ? 1 : 0;
        counts.retrying += retrying ? 1 : 0;
        const bool worse =
            counts.worst == nullptr || (held && counts.worst->state() != v1::TableStatus::STATE_HELD);
        if ((held || retrying) && worse) {
            counts.worst = &table;
        }
    }
    return counts;
}

class Derivation final {
 public:
    explicit Derivation(const StatusInput& input)
        : input_(input), fresh_after_(input.now - kHeartbeatsUntilUnknown * input.heartbeat) {}

    v1::PipelineStatus Run() {
        FillFacts();
        const Verdict verdict = Judge();
        status_.set_state(verdict.state);
        status_.set_reason(verdict.reason);
        status_.set_message(verdict.message);
        return std::move(status_);
    }

 private:
    void FillFacts() {
        absl::Time newest = absl::InfinitePast();
        bool any_connected = false;
        int64_t observed = input_.pipeline.metadata().generation();
        for (const WorkerReport& worker : input_.workers) {
            if (worker.connected) {
                any_connected = true;
                observed = std::min(observed, worker.acked_generation);
            }
            if (worker.facts) {
                newest = std::max(newest, worker.facts_at);
            }
        }
        if (!IsDeployed(input_.pipeline)) {
            return;
        }
        status_.set_observed_generation(any_connected ? observed : 0);
        for (v1::TableStatus& table : MergeTables(input_.workers, fresh_after_)) {
            *status_.add_tables() = std::move(table);
        }
        if (const auto* publisher = FindPublisher(input_.workers, fresh_after_)) {
            *status_.mutable_publisher() = *publisher;
        }
        if (newest != absl::InfinitePast()) {
            *status_.mutable_facts_time() =
                google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(absl::ToUnixMicros(newest));
        }
    }

    Verdict Judge() const {
        if (input_.pipeline.spec().desired_state() == v1::PipelineSpec::DESIRED_STATE_DELETED) {
            return JudgeDeleting();
        }
        if (!IsDeployed(input_.pipeline)) {
            return {v1::PipelineStatus::STATE_DRAFT, "", ""};
        }
        if (const v1::Rejection* rejection = FindRejection()) {
            return {v1::PipelineStatus::STATE_BLOCKED, rejection->reason(), rejection->message()};
        }
        if (AnyConnected()) {
            return JudgeConnected();
        }
        return {v1::PipelineStatus::STATE_UNKNOWN, "NO_WORKER",
                "No worker of the data plane is connected. Changes go on flowing if it runs; start "
                "millrace-worker or check "
                "that it reaches the control plane."};
    }

    const v1::Rejection* FindRejection() const {
        for (const WorkerReport& worker : input_.workers) {
            if (worker.connected && worker.rejection) {
                return &*worker.rejection;
            }
        }
        return nullptr;
    }

    const v1::PipelineFacts* FindError() const {
        for (const WorkerReport& worker : input_.workers) {
            if (IsFresh(worker, fresh_after_) && !worker.facts->error().empty()) {
                return &*worker.facts;
            }
        }
        return nullptr;
    }

    Verdict JudgeDeleting() const {
        if (const v1::Rejection* rejection = FindRejection()) {
            return {v1::PipelineStatus::STATE_DELETING, rejection->reason(), rejection->message()};
        }
        if (const v1::PipelineFacts* facts = FindError()) {
            return {v1::PipelineStatus::STATE_DELETING, facts->error_reason(),
                    Sentence(facts->error(), facts->remedy())};
        }
        if (AnyConnected()) {
            return {v1::PipelineStatus::STATE_DELETING, "", ""};
        }
        return {v1::PipelineStatus::STATE_DELETING, "NO_WORKER",
                "No worker of the data plane is connected to remove what the pipeline made. Start "
                "millrace-worker, or delete "
                "with force and remove slot, publications and topics by hand."};
    }

    Verdict JudgeConnected() const {
        const int64_t wanted = input_.pipeline.metadata().generation();
        bool acked = false;
        bool just_acked = false;
        bool fresh = false;
        for (const WorkerReport& worker : input_.workers) {
            const bool runs = worker.connected && worker.acked_generation >= wanted;
            acked = acked || runs;
            just_acked = just_acked || (runs && worker.acked_at >= fresh_after_);
            fresh = fresh || IsFresh(worker, fresh_after_);
        }
        if (!acked) {
            return {v1::PipelineStatus::STATE_DEPLOYING, "", ""};
        }
        if (!fresh) {
            if (just_acked) {
                return {v1::PipelineStatus::STATE_DEPLOYING, "", ""};
            }
            return {v1::PipelineStatus::STATE_UNKNOWN, "FACTS_STALE",
                    "Workers are connected but report nothing about the pipeline. Look at the log of "
                    "millrace-worker."};
        }
        return JudgeFresh();
    }

    Verdict JudgeFresh() const {
        const bool has_publisher = status_.has_publisher();
        const auto& publisher = status_.publisher();
        if (has_publisher && publisher.state() == v1::PublisherFacts::STATE_BLOCKED) {
            return {v1::PipelineStatus::STATE_BLOCKED, publisher.error_reason(),
                    Sentence(publisher.error(), publisher.remedy())};
        }
        if (input_.pipeline.spec().desired_state() == v1::PipelineSpec::DESIRED_STATE_PAUSED) {
            return {v1::PipelineStatus::STATE_PAUSED, publisher.error_reason(),
                    Sentence(publisher.error(), publisher.remedy())};
        }
        if (const v1::PipelineFacts* facts = FindError()) {
            return {v1::PipelineStatus::STATE_DEGRADED, facts->error_reason(),
                    Sentence(facts->error(), facts->remedy())};
        }
        if (!has_publisher || publisher.state() == v1::PublisherFacts::STATE_STANDBY) {
            return JudgeWithoutPublisher();
        }
        if (publisher.state() == v1::PublisherFacts::STATE_RETRYING) {
            return {v1::PipelineStatus::STATE_DEGRADED, publisher.error_reason(),
                    Sentence(publisher.error(), publisher.remedy())};
        }
        return JudgeTables();
    }

    Verdict JudgeWithoutPublisher() const {
        if (status_.has_publisher()) {
            return {v1::PipelineStatus::STATE_UNKNOWN, "NO_PUBLISHER",
                    "Nobody reads the source at this moment; a worker stands by to take over. If this stays, "
                    "look at who "
                    "holds the replication slot."};
        }
        return {v1::PipelineStatus::STATE_UNKNOWN, "NO_PUBLISHER",
                "No worker reports reading the source. Start millrace-worker with --role publisher or all."};
    }

    Verdict JudgeTables() const {
        const TableCounts counts = Count(status_);
        if (counts.held + counts.retrying > 0) {
            const auto& worst = *counts.worst;
            return {v1::PipelineStatus::STATE_DEGRADED, worst.error_reason(),
                    absl::StrCat(counts.held, " held and ", counts.retrying, " retrying of ", counts.total,
                                 " tables; ", worst.schema(), ".", worst.table(), ": ",
                                 Sentence(worst.error(), worst.remedy()))};
        }
        const auto& publisher = status_.publisher();
        if (publisher.state() == v1::PublisherFacts::STATE_COPYING) {
            return {v1::PipelineStatus::STATE_COPYING, "", ""};
        }
        if (publisher.state() == v1::PublisherFacts::STATE_STARTING) {
            return {v1::PipelineStatus::STATE_DEPLOYING, "", ""};
        }
        if (!AnyFreshConsumer()) {
            return {v1::PipelineStatus::STATE_DEGRADED, "NO_CONSUMER",
                    "No worker applies changes; they wait in Kafka. Start millrace-worker with --role "
                    "consumer or all."};
        }
        if (counts.unknown > 0) {
            return {v1::PipelineStatus::STATE_DEGRADED, "TABLES_UNKNOWN",
                    absl::StrCat(counts.unknown, " of ", counts.total,
                                 " tables are reported by no worker any more; another one takes them over "
                                 "within seconds.")};
        }
        const int64_t waiting =
            counts.waiting + std::max<int64_t>(0, publisher.tables_total() - counts.total);
        if (waiting > 0) {
            return {v1::PipelineStatus::STATE_COPYING, "TABLES_WAITING",
                    absl::StrCat(waiting, waiting == 1 ? " table waits" : " tables wait",
                                 " for a worker to apply it.")};
        }
        return {counts.copying > 0 ? v1::PipelineStatus::STATE_COPYING : v1::PipelineStatus::STATE_LIVE, "",
                ""};
    }

    bool AnyConnected() const {
        return std::any_of(input_.workers.begin(), input_.workers.end(),
                           [](const auto& worker) { return worker.connected; });
    }
    bool AnyFreshConsumer() const {
        return std::any_of(input_.workers.begin(), input_.workers.end(), [&](const auto& worker) {
            return ActsAsConsumer(worker) && IsFresh(worker, fresh_after_);
        });
    }

    const StatusInput& input_;
    absl::Time fresh_after_;
    v1::PipelineStatus status_;
};

}  // namespace

bool ActsAsPublisher(const WorkerReport& worker) {
    return worker.role != "consumer";
}
bool ActsAsConsumer(const WorkerReport& worker) {
    return worker.role != "publisher";
}

v1::PipelineStatus DeriveStatus(const StatusInput& input) {
    return Derivation(input).Run();
}

}  // namespace millrace::domain
