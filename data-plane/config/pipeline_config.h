/// Typed configuration of a pipeline as the data plane runs it; defaults live here only.
/// Not for: protobuf (agent/assignment is the one translation), validation of connector options
/// (connectors/sdk/options).
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/byte_count.h"
#include "connectors/sdk/batch.h"
#include "connectors/sdk/options.h"
#include "connectors/sdk/source.h"

namespace millrace::config {

struct KafkaConfig final {
    /// "host:port,host:port".
    std::string brokers;
    /// First component of every topic name.
    std::string topic_prefix = "millrace";
    int replication_factor = 1;
    /// Further librdkafka properties (security.protocol, sasl.*, …), passed as they are.
    std::map<std::string, std::string> properties;
};

struct ConnectorConfig final {
    std::string type;
    sdk::Options options;
};

/// First met wins; unset takes the destination's default.
struct FlushRules final {
    std::optional<int64_t> rows;
    std::optional<base::ByteCount> bytes;
    std::optional<std::chrono::milliseconds> interval;
};

/// How rows that existed before are read; unset takes the default.
struct BackfillRules final {
    /// Tables read at a time, each by a connection of its own.
    int64_t connections = 4;
    /// The most rows of one chunk; 0: as many as fit into its bytes and its time.
    int64_t chunk_rows = 0;
    /// Of all tables together; 0: no limit.
    int64_t rows_per_second = 0;
    int64_t bytes_per_second = 0;

    friend bool operator==(const BackfillRules&, const BackfillRules&) = default;
};

/// What the verbs have asked of one table; see TableOverride in resources.proto.
struct TableOverride final {
    std::string schema;
    std::string table;
    bool paused = false;
    int64_t resync_counter = 0;
    int64_t resume_counter = 0;
    /// Kafka offsets [first, next) that are passed over while the table stands exactly at `first`.
    int64_t skip_first = 0;
    int64_t skip_next = 0;
    /// Rises with every confirmation that `drop_columns` are dropped at the destination.
    int64_t drop_counter = 0;
    std::vector<std::string> drop_columns = {};
    /// Rises with every replay of dead letters.
    int64_t replay_counter = 0;
    bool backfill_paused = false;
    int32_t backfill_priority = 0;
    int64_t backfill_cancel_counter = 0;
    /// Rises with every backfill of chosen rows: those that meet the condition, or those under the keys.
    int64_t backfill_counter = 0;
    std::string backfill_where = {};
    std::vector<std::vector<std::string>> backfill_keys = {};

    friend bool operator==(const TableOverride&, const TableOverride&) = default;
};

/// See ColumnRule in resources.proto.
struct ColumnRule final {
    /// Glob over "schema.table".
    std::string table;
    std::vector<std::string> include;
    std::vector<std::string> exclude;
    std::vector<std::string> hash;

    friend bool operator==(const ColumnRule&, const ColumnRule&) = default;
};

/// Form of the records in the table topics.
enum class Codec { kNative, kDebeziumJson };

struct PipelineConfig final {
    /// "tenants/{t}/pipelines/{p}".
    std::string name;
    /// Lower-case letters, digits, '-': part of topic, group and slot names.
    std::string id;
    std::string uid;
    int64_t generation = 0;
    ConnectorConfig source;
    ConnectorConfig destination;
    sdk::TableSelection selection;
    bool paused = false;
    bool removed = false;
    FlushRules flush;
    BackfillRules backfill = {};
    sdk::RefusedValues refused = sdk::RefusedValues::kDeadLetter;
    /// Columns that the source has dropped wait at the destination for a confirmation, instead of staying for
    /// good.
    bool drop_columns = false;
    Codec codec = Codec::kNative;
    std::vector<TableOverride> overrides;
    std::vector<ColumnRule> columns;
    /// Rises with every resync of the whole pipeline.
    int64_t resync_counter = 0;
};

}  // namespace millrace::config
