#include "connectors/sdk/sql/seen_keys.h"

#include "absl/strings/str_join.h"
#include "base/status.h"
#include "base/text.h"
#include "connectors/sdk/sql/checkpoint_table.h"
#include "connectors/sdk/sql/hashed_name.h"

namespace millrace::sql {
namespace {

std::string KeyName(size_t place) {
    return base::Concat("k", place);
}

}  // namespace

SeenKeys::SeenKeys(SqlSession& session, const Dialect& dialect, const sdk::StreamId& stream)
    : session_(session),
      dialect_(dialect),
      table_{std::string(CheckpointTable::kSchema), HashedName("resync_", {stream.pipeline_uid, stream.topic})} {}

absl::StatusOr<bool> SeenKeys::Exist() {
    ASSIGN_OR_RETURN(const auto shape, session_.Describe(table_));
    return shape.has_value();
}

absl::Status SeenKeys::Begin(const std::vector<SeenColumn>& key) {
    if (key.empty()) {
        return base::MakeError(absl::StatusCode::kInternal, "BATCH_INVALID", "a resync of a table without a key");
    }
    RETURN_IF_ERROR(Drop());
    std::vector<std::string> columns;
    for (size_t i = 0; i < key.size(); ++i) {
        columns.push_back(base::Concat(KeyName(i), " ", key[i].type));
    }
    return session_.Execute(base::Concat("CREATE TABLE ", Name(), " (", absl::StrJoin(columns, ", "), ")")).status();
}

absl::Status SeenKeys::Fit(const std::vector<SeenColumn>& key) {
    ASSIGN_OR_RETURN(const auto shape, session_.Describe(table_));
    for (size_t i = 0; shape && i < key.size() && i < shape->columns.size(); ++i) {
        if (shape->columns[i].type != key[i].type) {
            RETURN_IF_ERROR(
                session_.Execute(base::Concat("ALTER TABLE ", Name(), " ALTER COLUMN ", KeyName(i), " TYPE ", key[i].type))
                    .status());
        }
    }
    return absl::OkStatus();
}

absl::Status SeenKeys::Add(const std::vector<SeenColumn>& key, const sdk::Batch& batch) {
    LoadTable load{.schema = table_.schema, .table = table_.table, .partial_only = false, .columns = {}};
    for (size_t i = 0; i < key.size(); ++i) {
        load.columns.push_back({.name = KeyName(i), .type = key[i].type, .origin = LoadColumn::Origin::kCell, .index = key[i].index});
    }
    return session_.Load(load, batch).status();
}

absl::StatusOr<int64_t> SeenKeys::EndWithout(const std::vector<SeenColumn>& key, const sdk::TableTarget& target) {
    std::vector<std::string> same;
    for (size_t i = 0; i < key.size(); ++i) {
        same.push_back(base::Concat("d.", dialect_.QuoteIdentifier(key[i].name), " = s.", KeyName(i)));
    }
    ASSIGN_OR_RETURN(const int64_t removed,
                     session_.Execute(base::Concat("DELETE FROM ", dialect_.Qualified(target),
                                                   " AS d WHERE NOT EXISTS (SELECT 1 FROM ", Name(), " AS s WHERE ",
                                                   absl::StrJoin(same, " AND "), ")")));
    RETURN_IF_ERROR(Drop());
    return removed;
}

absl::Status SeenKeys::Drop() {
    return session_.Execute(base::Concat("DROP TABLE IF EXISTS ", Name())).status();
}

}  // namespace millrace::sql
