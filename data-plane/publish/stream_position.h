/// Where a pipeline's stream stands, as the control topic keeps it. Not for: consumers' checkpoints (they are
/// in the destination).
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "connectors/sdk/change_event.h"
#include "connectors/sdk/chunk.h"
#include "data-plane/backfill/key_range.h"
#include "data-plane/config/pipeline_config.h"

namespace millrace::publish {

/// How far the rows of a table have been read while its changes are published; see BackfillState in change_event.proto.
struct BackfillState final {
    /// In the order of the key; none where only `repairs` are read.
    std::vector<backfill::KeyRange> ranges;
    std::vector<sdk::KeyTexts> repairs;
    bool resync = false;
    /// Of chosen rows: those that meet the condition, or, without one, those of `repairs`. The table counts as copied all the while.
    bool chosen = false;
    std::string where = {};
    int64_t rows = 0;
    int64_t bytes = 0;
    int64_t chunks = 0;

    /// All of the ranges are; only repairs are left.
    [[nodiscard]] bool scanned() const { return std::ranges::all_of(ranges, &backfill::KeyRange::scanned); }
};

/// Copy state of one table; see TableCopyState in change_event.proto.
struct TableState final {
    std::string schema;
    std::string table;
    std::string topic;
    bool copied = false;
    uint64_t copied_at = 0;
    uint64_t rows = 0;
    /// The resync that the last copy answered.
    int64_t resync_counter = 0;
    /// Of the table that was copied; 0 = unknown.
    uint64_t source_table_id = 0;
    /// Schema of the last record written, and its columns as "name type".
    uint64_t schema_id = 0;
    std::vector<std::string> columns;
    /// That schema whole, with what is known of the rows' storage; nullptr before the first.
    sdk::SchemaPtr schema_of_last;
    /// Of the column rules under which it was copied.
    uint64_t column_policy = 0;
    /// See sdk::SourceTable; as of the last copy, 0 = unknown.
    uint64_t stream_entry = 0;
    /// Why nothing is published of the table; empty unless it is held.
    std::string held_reason;
    std::string held_error;
    std::string held_remedy;

    /// All of its rows were published once: those at the destination may stay until a copy anew has ended.
    bool stands = false;
    /// Of the verbs: see TableCopyState in change_event.proto.
    int64_t cancel_counter = 0;
    int64_t chosen_counter = 0;
    bool incomplete = false;

    std::optional<BackfillState> backfill = {};
    /// Place of the last marker or row that a backfill wrote, within its position of the log; never falls.
    uint64_t backfill_seq = 0;

    /// Its changes are written to its topic.
    [[nodiscard]] bool published() const { return copied || backfill.has_value(); }
    [[nodiscard]] bool held() const { return !held_reason.empty(); }
    /// What is in its topic counts for nothing any more.
    void Forget();
    void Hold(const absl::Status& why);
    void Release();
};

/// See PublisherPosition in change_event.proto.
struct StreamPosition final {
    std::string system_id;
    uint32_t timeline = 0;
    /// 0: nothing was ever published.
    uint32_t generation = 0;
    sdk::Position last;
    uint64_t end = 0;
    bool streaming = false;
    bool mid_transaction = false;
    /// The resync of the whole pipeline that this generation answers.
    int64_t resync_counter = 0;
};

/// All that the control topic says; tables by topic.
struct ControlState final {
    StreamPosition position;
    std::map<std::string, TableState> tables;
};

/// "X/Y", as people read positions of the source's log.
std::string PositionText(uint64_t position);

inline constexpr std::string_view kPositionKey = "position";
std::string TableKey(const TableState& table);

std::string EncodePosition(const StreamPosition& position);
std::string EncodeTableState(const TableState& table);

/// Takes one record of the control topic into `state`. DataLoss, reason CONTROL_TOPIC_DAMAGED: it is not
/// ours.
absl::Status DecodeControlRecord(const std::string& key, std::string_view value, ControlState& state);

/// Reads the control topic to its end. Unavailable: no broker; DataLoss: a record that is not ours.
absl::StatusOr<ControlState> ReadControlState(const config::KafkaConfig& kafka,
                                              const std::string& control_topic);

}  // namespace millrace::publish
