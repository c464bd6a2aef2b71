#include "connectors/sdk/sql/merge_sql.h"

#include <algorithm>

#include "absl/strings/str_join.h"
#include "base/status.h"
#include "base/text.h"
#include "connectors/sdk/sql/hashed_name.h"

namespace millrace::sql {
namespace {

using Kind = sdk::BatchRow::Kind;
using Origin = LoadColumn::Origin;

absl::Status InvalidBatch(const sdk::Batch& batch, std::string_view what) {
    return base::MakeError(absl::StatusCode::kInternal, "BATCH_INVALID",
                           base::Concat("a batch of ", batch.schema->DisplayName(), " holds ", what));
}

// The same columns give the same name, whichever table they were made for: tables of one shape share a stage.
std::string ShapeName(std::string_view prefix, const std::vector<LoadColumn>& columns) {
    std::vector<std::string_view> texts;
    for (const LoadColumn& column : columns) {
        texts.push_back(column.name);
        texts.push_back(column.type);
    }
    return HashedName(prefix, texts);
}

/// n and gone.
constexpr size_t kControlColumns = 2;

LoadColumn RowNumber(bool joined) {
    return {.name = "n",
            .type = "INTEGER",
            .origin = Origin::kRowNumber,
            .index = 0,
            .key_column = 0,
            .joined = joined};
}

LoadColumn Gone() {
    return {.name = "gone", .type = "BOOLEAN", .origin = Origin::kGone};
}

std::string StageColumn(size_t column) {
    return base::Concat("c", column);
}

/// The checks of ProfileBatch on one row after the other.
class Profiler final {
 public:
    explicit Profiler(const sdk::Batch& batch)
        : batch_(batch), key_(batch.schema->KeyColumns()), seen_(batch.schema->columns.size()) {}

    absl::StatusOr<BatchProfile> Run() {
        if (batch_.cells.size() != batch_.rows.size() * seen_.size()) {
            return InvalidBatch(batch_, "another number of cells than its rows have columns");
        }
        for (size_t i = 0; i < batch_.rows.size(); ++i) {
            RETURN_IF_ERROR(Add(batch_.rows[i], batch_.Row(i)));
        }
        for (size_t column = 0; column < seen_.size(); ++column) {
            if (seen_[column]) {
                profile_.unchanged.push_back(static_cast<int>(column));
            }
        }
        return std::move(profile_);
    }

 private:
    absl::Status Add(const sdk::BatchRow& row, sdk::RowView cells) {
        if ((batch_.append || key_.empty()) && row.kind != Kind::kFull) {
            return InvalidBatch(batch_, "a row to merge where rows are only appended");
        }
        if (row.source_key >= 0 &&
            (static_cast<size_t>(row.source_key) >= batch_.source_keys.size() ||
             batch_.source_keys[static_cast<size_t>(row.source_key)].size() != key_.size())) {
            return InvalidBatch(batch_, "a moved row without its source key");
        }
        for (const int column : key_) {
            if (cells[static_cast<size_t>(column)].is_unchanged()) {
                return InvalidBatch(batch_, "an unchanged cell in a key");
            }
        }
        (row.kind == Kind::kFull   ? profile_.full
         : row.kind == Kind::kGone ? profile_.gone
                                   : profile_.partial) += 1;
        if (row.kind == Kind::kGone) {
            return absl::OkStatus();
        }
        for (size_t column = 0; column < cells.size(); ++column) {
            profile_.bytes += cells[column].size();
            if (!cells[column].is_unchanged()) {
                continue;
            }
            if (row.kind == Kind::kFull) {
                return InvalidBatch(batch_, "an unchanged cell in a full row");
            }
            seen_[column] = true;
        }
        return absl::OkStatus();
    }

    const sdk::Batch& batch_;
    const std::vector<int> key_;
    std::vector<bool> seen_;
    BatchProfile profile_;
};

}  // namespace

absl::StatusOr<BatchProfile> ProfileBatch(const sdk::Batch& batch) {
    return Profiler(batch).Run();
}

MergeSql::MergeSql(const Dialect& dialect, const sdk::TableTarget& target, const sdk::TableSchema& schema,
                   const std::vector<std::string>& names, const std::vector<std::string>& types)
    : dialect_(dialect),
      target_(target),
      schema_(schema),
      names_(names),
      types_(types),
      key_(schema.KeyColumns()),
      into_(dialect.Qualified(target)) {}

LoadTable MergeSql::Target() const {
    LoadTable table{.schema = target_.schema, .table = target_.table, .partial_only = false, .columns = {}};
    for (size_t i = 0; i < names_.size(); ++i) {
        table.columns.push_back(
            {.name = names_[i], .type = types_[i], .origin = Origin::kCell, .index = static_cast<int>(i)});
    }
    return table;
}

LoadColumn MergeSql::StagedCell(size_t column) const {
    return {.name = StageColumn(column),
            .type = types_[column],
            .origin = Origin::kCell,
            .index = static_cast<int>(column),
            .key_column = 0,
            .joined = schema_.columns[column].key_ordinal > 0};
}

LoadTable MergeSql::Stage() const {
    LoadTable stage;
    stage.columns = {RowNumber(false), Gone()};
    for (size_t i = 0; i < names_.size(); ++i) {
        stage.columns.push_back(StagedCell(i));
    }
    stage.table = ShapeName("_millrace_stage_", stage.columns);
    return stage;
}

std::vector<LoadTable> MergeSql::Stages() const {
    const size_t most = dialect_.MaxColumns();
    if (most == 0 || names_.size() + kControlColumns <= most) {
        return {Stage()};
    }
    // In halves, so that a partial stage of either has room for its keys.
    std::vector<LoadTable> parts(2);
    parts[0].columns = {RowNumber(true), Gone()};
    parts[1].columns = {RowNumber(true)};
    for (size_t i = 0; i < names_.size(); ++i) {
        const bool first = i < names_.size() / 2 || schema_.columns[i].key_ordinal > 0;
        parts[first ? 0 : 1].columns.push_back(StagedCell(i));
    }
    for (LoadTable& part : parts) {
        part.table = ShapeName("_millrace_stage_", part.columns);
    }
    return parts;
}

std::vector<int> MergeSql::UnchangedIn(const LoadTable& stage, const std::vector<int>& unchanged) {
    std::vector<int> here;
    for (const LoadColumn& column : stage.columns) {
        if (column.origin == Origin::kCell && std::ranges::binary_search(unchanged, column.index)) {
            here.push_back(column.index);
        }
    }
    return here;
}

LoadTable MergeSql::PartialStage(const std::vector<int>& unchanged) const {
    LoadTable stage;
    stage.partial_only = true;
    stage.columns.push_back(RowNumber(true));
    for (size_t i = 0; i < key_.size(); ++i) {
        stage.columns.push_back({.name = base::Concat("k", i),
                                 .type = types_[static_cast<size_t>(key_[i])],
                                 .origin = Origin::kSourceKey,
                                 .index = static_cast<int>(i),
                                 .key_column = key_[i],
                                 .joined = true});
    }
    for (size_t i = 0; i < unchanged.size(); ++i) {
        stage.columns.push_back({.name = base::Concat("u", i),
                                 .type = "BOOLEAN",
                                 .origin = Origin::kUnchanged,
                                 .index = unchanged[i]});
    }
    stage.table = ShapeName("_millrace_partial_", stage.columns);
    return stage;
}

std::string MergeSql::Truncate() const {
    return base::Concat("TRUNCATE TABLE ", into_);
}

std::string MergeSql::OnSourceKey() const {
    std::vector<std::string> conditions;
    for (size_t i = 0; i < key_.size(); ++i) {
        conditions.push_back(base::Concat("d.", Quoted(static_cast<size_t>(key_[i])), " = p.k", i));
    }
    return absl::StrJoin(conditions, " AND ");
}

std::string MergeSql::Resolve(const LoadTable& stage, const std::vector<int>& unchanged) const {
    std::vector<std::string> assignments;
    for (size_t i = 0; i < unchanged.size(); ++i) {
        const auto column = static_cast<size_t>(unchanged[i]);
        assignments.push_back(base::Concat(StageColumn(column), " = CASE WHEN p.u", i, " THEN d.",
                                           Quoted(column), " ELSE s.", StageColumn(column), " END"));
    }
    return base::Concat("UPDATE ", dialect_.QuoteIdentifier(stage.table), " AS s SET ",
                        absl::StrJoin(assignments, ", "), " FROM ",
                        dialect_.QuoteIdentifier(PartialStage(unchanged).table), " AS p JOIN ", into_,
                        " AS d ON ", OnSourceKey(), " WHERE s.n = p.n");
}

std::string MergeSql::CountHoles(const std::vector<int>& unchanged) const {
    std::vector<std::string> terms;
    for (size_t i = 0; i < unchanged.size(); ++i) {
        terms.push_back(base::Concat("CASE WHEN p.u", i, " THEN 1 ELSE 0 END"));
    }
    return base::Concat("SELECT sum(", absl::StrJoin(terms, " + "), ") FROM ",
                        dialect_.QuoteIdentifier(PartialStage(unchanged).table),
                        " AS p WHERE NOT EXISTS (SELECT 1 FROM ", into_, " AS d WHERE ", OnSourceKey(), ")");
}

std::string MergeSql::OnStagedKey() const {
    std::vector<std::string> conditions;
    for (const int column : key_) {
        const auto index = static_cast<size_t>(column);
        conditions.push_back(base::Concat("d.", Quoted(index), " = s.", StageColumn(index)));
    }
    return absl::StrJoin(conditions, " AND ");
}

std::string MergeSql::DeleteStaged() const {
    return base::Concat("DELETE FROM ", into_, " AS d USING ",
                        dialect_.QuoteIdentifier(Stages().front().table), " AS s WHERE ", OnStagedKey());
}

std::string MergeSql::StagedThere() const {
    return base::Concat("SELECT s.n FROM ", dialect_.QuoteIdentifier(Stages().front().table),
                        " AS s WHERE EXISTS (SELECT 1 FROM ", into_, " AS d WHERE ", OnStagedKey(), ")");
}

std::string MergeSql::UpdateStaged(size_t column, const std::vector<size_t>& numbers) const {
    const std::vector<LoadTable> stages = Stages();
    const bool with_keys = std::ranges::any_of(stages.front().columns, [&](const LoadColumn& staged) {
        return staged.origin == Origin::kCell && staged.index == static_cast<int>(column);
    });
    return base::Concat(
        "UPDATE ", into_, " AS d SET ", Quoted(column), " = ", with_keys ? "s." : "v.", StageColumn(column), " FROM ",
        dialect_.QuoteIdentifier(stages.front().table), " AS s",
        with_keys ? "" : base::Concat(" JOIN ", dialect_.QuoteIdentifier(stages.back().table), " AS v ON v.n = s.n"),
        " WHERE ", OnStagedKey(), " AND s.n IN (", absl::StrJoin(numbers, ", "), ")");
}

std::string MergeSql::InsertStaged(const std::vector<size_t>& numbers) const {
    return base::Concat(InsertStaged(), " AND n IN (", absl::StrJoin(numbers, ", "), ")");
}

std::string MergeSql::TargetColumns() const {
    std::vector<std::string> quoted;
    for (size_t i = 0; i < names_.size(); ++i) {
        quoted.push_back(Quoted(i));
    }
    return base::Concat(into_, " (", absl::StrJoin(quoted, ", "), ")");
}

std::string MergeSql::InsertStaged() const {
    std::vector<std::string> staged;
    for (size_t i = 0; i < names_.size(); ++i) {
        staged.push_back(StageColumn(i));
    }
    std::string from;
    for (const LoadTable& stage : Stages()) {
        const std::string name = dialect_.QuoteIdentifier(stage.table);
        from = from.empty() ? name : base::Concat(from, " JOIN ", name, " USING (n)");
    }
    return base::Concat("INSERT INTO ", TargetColumns(), " SELECT ", absl::StrJoin(staged, ", "), " FROM ",
                        from, " WHERE NOT gone");
}

std::string MergeSql::Inline(const sdk::Batch& batch, bool delete_first) const {
    std::vector<std::string> statements;
    if (delete_first) {
        statements.push_back(InlineDelete(batch));
    }
    for (const sdk::BatchRow& row : batch.rows) {
        if (row.kind != Kind::kGone) {
            statements.push_back(InlineInsert(batch));
            break;
        }
    }
    return absl::StrJoin(statements, "; ");
}

std::string MergeSql::InlineDelete(const sdk::Batch& batch) const {
    std::vector<std::string> names;
    for (const int column : key_) {
        names.push_back(Quoted(static_cast<size_t>(column)));
    }
    std::vector<std::string> keys;
    for (size_t i = 0; i < batch.rows.size(); ++i) {
        std::vector<std::string> parts;
        for (const int column : key_) {
            const auto index = static_cast<size_t>(column);
            parts.push_back(dialect_.Literal(schema_.columns[index], batch.Row(i)[index]));
        }
        keys.push_back(parts.size() == 1 ? parts.front()
                                         : base::Concat("(", absl::StrJoin(parts, ", "), ")"));
    }
    const std::string list = absl::StrJoin(names, ", ");
    return base::Concat("DELETE FROM ", into_, " WHERE ",
                        names.size() == 1 ? list : base::Concat("(", list, ")"), " IN (",
                        absl::StrJoin(keys, ", "), ")");
}

std::string MergeSql::InlineInsert(const sdk::Batch& batch) const {
    std::vector<std::string> rows;
    for (size_t i = 0; i < batch.rows.size(); ++i) {
        if (batch.rows[i].kind == Kind::kGone) {
            continue;
        }
        std::string row = "(";
        for (size_t column = 0; column < names_.size(); ++column) {
            base::Append(row, column == 0 ? "" : ", ",
                         dialect_.Literal(schema_.columns[column], batch.Row(i)[column]));
        }
        rows.push_back(row + ")");
    }
    return base::Concat("INSERT INTO ", TargetColumns(), " VALUES ", absl::StrJoin(rows, ", "));
}

absl::StatusOr<std::vector<RefusedCell>> FindRefusedStaged(SqlSession& session, const MergeSql& sql,
                                                           sdk::Batch& batch) {
    const LoadTable whole = sql.Stage();
    std::vector<RefusedCell> all;
    for (const LoadTable& stage : sql.Stages()) {
        ASSIGN_OR_RETURN(const auto refused, session.FindRefused(stage, batch));
        for (RefusedCell cell : refused) {
            const auto same = std::find_if(
                whole.columns.begin(), whole.columns.end(),
                [&](const auto& column) { return column.name == stage.columns[cell.column].name; });
            cell.column = static_cast<size_t>(same - whole.columns.begin());
            all.push_back(std::move(cell));
        }
    }
    return all;
}

}  // namespace millrace::sql
