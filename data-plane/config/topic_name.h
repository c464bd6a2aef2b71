/// Names that a pipeline has in Kafka, and back. Not for: creating topics (bus/topic_admin).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace millrace::config {

struct TableName final {
    std::string schema;
    std::string table;
    friend bool operator==(const TableName&, const TableName&) = default;
};

/// "<prefix>.<pipeline>.<schema>.<table>"; bytes outside [A-Za-z0-9-] of schema and table become "_xx" (two lower-case hex
/// digits; '_' itself too), so the name is reversible; where it would pass 200 characters its tail becomes a hash.
std::string TableTopic(std::string_view prefix, std::string_view pipeline, std::string_view schema,
                       std::string_view table);

/// Table of a topic that TableTopic made; nullopt for others and for hashed names.
std::optional<TableName> TableOfTopic(std::string_view prefix, std::string_view pipeline, std::string_view topic);

/// librdkafka subscription pattern ("^…") of all table topics of a pipeline, and of nothing else.
std::string TableTopicPattern(std::string_view prefix, std::string_view pipeline);

/// Compacted topics beside them.
std::string ControlTopic(std::string_view prefix, std::string_view pipeline);
std::string SchemaTopic(std::string_view prefix, std::string_view pipeline);

/// Group that only assigns tables to workers, and group under which applied offsets are committed.
std::string AssignmentGroup(std::string_view prefix, std::string_view pipeline);
std::string AppliedGroup(std::string_view prefix, std::string_view pipeline);
std::string TransactionalId(std::string_view prefix, std::string_view pipeline);

}  // namespace millrace::config
