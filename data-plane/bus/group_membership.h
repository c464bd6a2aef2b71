/// Membership in a consumer group that is used for assignment only: Kafka spreads the table topics over the
/// workers. Not for: reading records (table_reader), offsets.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "data-plane/config/pipeline_config.h"

namespace millrace::bus {

/// Cooperative-sticky, session timeout 6 s; assigned partitions are paused at once and nothing is committed.
class GroupMembership final {
 public:
    class Listener {
     public:
        virtual ~Listener() = default;
        /// On the Poll thread; must not block on destinations.
        virtual void OnAssigned(const std::vector<std::string>& topics) = 0;
        /// Returns once nothing more will be committed for these topics, or after the listener's own deadline
        /// (the epoch fence makes a late writer harmless). `lost`: the group has given them away already.
        virtual void OnRevoked(const std::vector<std::string>& topics, bool lost) = 0;
    };

    /// `pattern`: see config::TableTopicPattern. `member_name` becomes the client id.
    static absl::StatusOr<std::unique_ptr<GroupMembership>> Join(const config::KafkaConfig& kafka,
                                                                 const std::string& group,
                                                                 const std::string& pattern,
                                                                 const std::string& member_name,
                                                                 Listener& listener);
    /// Leaves the group.
    ~GroupMembership();

    /// Serves the group; call at least every few hundred milliseconds.
    absl::Status Poll(std::chrono::milliseconds timeout);

 private:
    struct Impl;
    explicit GroupMembership(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::bus
