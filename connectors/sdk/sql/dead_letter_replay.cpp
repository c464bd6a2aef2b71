#include "connectors/sdk/sql/dead_letter_replay.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "base/status.h"
#include "connectors/sdk/sql/letter_json.h"

namespace millrace::sql {
namespace {

std::optional<size_t> ColumnNamed(const sdk::TableSchema& schema, const std::string& name) {
    for (size_t i = 0; i < schema.columns.size(); ++i) {
        if (schema.columns[i].name == name) {
            return i;
        }
    }
    return std::nullopt;
}

bool IsKey(const sdk::TableSchema& schema, size_t column) {
    return schema.columns[column].key_ordinal > 0;
}

}  // namespace

absl::StatusOr<std::vector<size_t>> DeadLetterReplay::Apply(const std::vector<DeadLetter>& letters) {
    Collect(letters);
    std::vector<size_t> applied;
    batch_ = MakeBatch();
    if (rows_.empty()) {
        return applied;
    }
    ASSIGN_OR_RETURN(const auto refused, FindRefusedStaged(session_, sql_, batch_));
    Refuse(refused);
    for (const LoadTable& stage : sql_.Stages()) {
        RETURN_IF_ERROR(session_.Load(stage, batch_).status());
    }
    ASSIGN_OR_RETURN(const auto found, session_.Query(sql_.StagedThere()));
    std::set<size_t> there;
    for (const SqlSession::Row& row : found) {
        uint64_t number = 0;
        if (row.size() != 1 || !row[0] || !absl::SimpleAtoi(*row[0], &number)) {
            return base::MakeError(absl::StatusCode::kInternal, "UNEXPECTED_ANSWER",
                                   "the number of a staged row is not a number");
        }
        there.insert(number);
    }
    RETURN_IF_ERROR(Write(there));
    for (size_t i = 0; i < rows_.size(); ++i) {
        for (const size_t letter : rows_[i].letters) {
            const std::vector<size_t> columns = Columns(letters[letter]);
            const bool taken = std::none_of(columns.begin(), columns.end(),
                                            [&](size_t column) { return refused_.contains({i, column}); });
            if (taken && (rows_[i].whole || there.contains(i))) {
                applied.push_back(letter);
            }
        }
    }
    return applied;
}

void DeadLetterReplay::Collect(const std::vector<DeadLetter>& letters) {
    std::map<std::string, size_t> by_key;
    for (size_t i = 0; i < letters.size(); ++i) {
        Row read;
        if (!ReadKey(letters[i], read) || !ReadCells(letters[i], read)) {
            continue;
        }
        const auto [at, fresh] = by_key.try_emplace(letters[i].key, rows_.size());
        if (fresh) {
            rows_.push_back(Row{.letters = {}, .key = std::move(read.key), .cells = {}, .whole = false});
        }
        Row& row = rows_[at->second];
        row.letters.push_back(i);
        row.whole = row.whole || read.whole;
        for (auto& [column, value] : read.cells) {
            row.cells[column] = std::move(value);
        }
    }
}

bool DeadLetterReplay::ReadKey(const DeadLetter& letter, Row& row) const {
    const auto members = ReadJsonMembers(letter.key);
    const std::vector<int> key = schema_->KeyColumns();
    if (!members || members->size() != key.size()) {
        return false;
    }
    for (size_t i = 0; i < key.size(); ++i) {
        const auto& [name, value] = (*members)[i];
        if (name != schema_->columns[static_cast<size_t>(key[i])].name || !value) {
            return false;
        }
        row.key.push_back(*value);
    }
    return true;
}

bool DeadLetterReplay::ReadCells(const DeadLetter& letter, Row& row) const {
    if (letter.column) {
        const auto column = ColumnNamed(*schema_, *letter.column);
        const auto value = letter.json ? ReadJsonText(letter.value) : std::optional(letter.value);
        if (!column || !value || IsKey(*schema_, *column)) {
            return false;
        }
        row.cells[*column] = *value;
        return true;
    }
    row.whole = true;
    const auto members = ReadJsonMembers(letter.value);
    if (!members) {
        return false;
    }
    for (const auto& [name, value] : *members) {
        // The key of the row is that of the letter: it may have moved since. A column that has gone needs no value.
        if (const auto column = ColumnNamed(*schema_, name); column && !IsKey(*schema_, *column)) {
            row.cells[*column] = value;
        }
    }
    return true;
}

std::vector<size_t> DeadLetterReplay::Columns(const DeadLetter& letter) const {
    Row row;
    std::vector<size_t> columns;
    if (ReadCells(letter, row)) {
        for (const auto& [column, value] : row.cells) {
            columns.push_back(column);
        }
    }
    for (const int column : schema_->KeyColumns()) {
        columns.push_back(static_cast<size_t>(column));
    }
    return columns;
}

sdk::Batch DeadLetterReplay::MakeBatch() const {
    sdk::Batch batch;
    batch.schema = schema_;
    const std::vector<int> key = schema_->KeyColumns();
    for (const Row& row : rows_) {
        const size_t first = batch.cells.size();
        batch.rows.push_back({.kind = sdk::BatchRow::Kind::kPartial});
        batch.cells.resize(first + schema_->columns.size(), sdk::Cell::Unchanged());
        for (size_t i = 0; i < key.size(); ++i) {
            batch.cells[first + static_cast<size_t>(key[i])] = sdk::Cell::Value(row.key[i]);
        }
        for (const auto& [column, value] : row.cells) {
            batch.cells[first + column] = value ? sdk::Cell::Value(*value) : sdk::Cell::Null();
        }
    }
    return batch;
}

void DeadLetterReplay::Refuse(const std::vector<RefusedCell>& refused) {
    const LoadTable stage = sql_.Stage();
    for (const RefusedCell& cell : refused) {
        refused_.emplace(cell.row, static_cast<size_t>(stage.columns[cell.column].index));
    }
}

absl::Status DeadLetterReplay::Write(const std::set<size_t>& there) {
    std::map<size_t, std::vector<size_t>> updates;
    std::vector<size_t> inserts;
    for (size_t i = 0; i < rows_.size(); ++i) {
        const Row& row = rows_[i];
        const auto refused = [&](size_t column) { return refused_.contains({i, column}); };
        const auto any = [&](const auto& columns, auto column_of) {
            return std::any_of(columns.begin(), columns.end(), [&](const auto& c) { return refused(column_of(c)); });
        };
        const bool key_refused =
            any(schema_->KeyColumns(), [](int column) { return static_cast<size_t>(column); });
        const bool cell_refused = any(row.cells, [](const auto& cell) { return cell.first; });
        if (key_refused || (row.whole && cell_refused)) {
            // All of them stay, so that a whole row is never there in part.
            for (const auto& [column, value] : row.cells) {
                refused_.emplace(i, column);
            }
            for (const int column : schema_->KeyColumns()) {
                refused_.emplace(i, static_cast<size_t>(column));
            }
            continue;
        }
        if (!there.contains(i)) {
            if (row.whole) {
                inserts.push_back(i);
            }
            continue;
        }
        for (const auto& [column, value] : row.cells) {
            if (!refused(column)) {
                updates[column].push_back(i);
            }
        }
    }
    for (const auto& [column, rows] : updates) {
        RETURN_IF_ERROR(session_.Execute(sql_.UpdateStaged(column, rows)).status());
    }
    return inserts.empty() ? absl::OkStatus() : session_.Execute(sql_.InsertStaged(inserts)).status();
}

}  // namespace millrace::sql
