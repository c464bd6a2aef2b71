#include "connectors/sdk/sql/schema_plan.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "absl/strings/str_join.h"
#include "base/status.h"
#include "base/text.h"

namespace millrace::sql {
namespace {

std::string QuotedList(const Dialect& dialect, const std::vector<std::string>& names) {
    return absl::StrJoin(names, ", ", [&](std::string* out, const std::string& name) {
        out->append(dialect.QuoteIdentifier(name));
    });
}

// Columns of the source that stand under the wanted names once the plan has run, and those that it had once.
WrittenColumns WrittenBy(const WantedTable& wanted, const std::vector<WrittenColumn>& earlier) {
    WrittenColumns written{.source_table_id = wanted.source_table_id, .columns = {}};
    for (const WantedTable::Column& column : wanted.columns) {
        if (column.source_id != 0) {
            written.columns.push_back(
                {.source_id = column.source_id, .name = column.name, .type = column.type});
        }
    }
    for (const WrittenColumn& column : earlier) {
        written.columns.push_back(
            {.source_id = column.source_id, .name = column.name, .type = column.type, .dropped = true});
    }
    std::ranges::sort(written.columns, {},
                      [](const WrittenColumn& column) { return std::tie(column.source_id, column.name); });
    return written;
}

SchemaPlan PlanNewTable(const Dialect& dialect, const WantedTable& wanted, bool schema_exists) {
    SchemaPlan plan;
    plan.written = WrittenBy(wanted, {});
    if (!schema_exists) {
        plan.statements.push_back(
            base::Concat("CREATE SCHEMA IF NOT EXISTS ", dialect.QuoteIdentifier(wanted.target.schema)));
    }
    std::vector<std::string> parts;
    for (const WantedTable::Column& column : wanted.columns) {
        parts.push_back(base::Concat(dialect.QuoteIdentifier(column.name), " ", column.type));
        plan.types.push_back(column.type);
    }
    if (dialect.IndexesKeys() && !wanted.key.empty()) {
        parts.push_back(base::Concat("PRIMARY KEY (", QuotedList(dialect, wanted.key), ")"));
    }
    plan.statements.push_back(base::Concat("CREATE TABLE ", dialect.Qualified(wanted.target), " (",
                                           absl::StrJoin(parts, ", "), ")"));
    return plan;
}

std::vector<std::string> KeyOf(const TableShape& shape) {
    std::vector<std::pair<int, std::string>> key;
    for (const TableShape::Column& column : shape.columns) {
        if (column.key_ordinal > 0) {
            key.emplace_back(column.key_ordinal, column.name);
        }
    }
    std::sort(key.begin(), key.end());
    std::vector<std::string> names;
    for (auto& [ordinal, name] : key) {
        names.push_back(std::move(name));
    }
    return names;
}

/// Compares an existing table with the wanted one and collects the statements of ALTER TABLE.
class Evolution final {
 public:
    Evolution(const Dialect& dialect, const WantedTable& wanted, TableShape existing,
              const WrittenColumns& written)
        : dialect_(dialect),
          wanted_(wanted),
          existing_(std::move(existing)),
          written_(written.columns),
          alter_(base::Concat("ALTER TABLE ", dialect.Qualified(wanted.target), " ")) {
        if (written.source_table_id != wanted.source_table_id) {
            // Another table of that name: its ids are no ids of these columns.
            for (WrittenColumn& column : written_) {
                column.source_id = 0;
            }
        }
    }

    absl::StatusOr<SchemaPlan> Plan() {
        RETURN_IF_ERROR(PlanNames());
        PlanKey();
        PlanNullability();
        for (const WantedTable::Column& column : wanted_.columns) {
            RETURN_IF_ERROR(PlanColumn(column));
        }
        plan_.written = WrittenBy(wanted_, Left());
        return std::move(plan_);
    }

 private:
    struct Move final {
        std::string from;
        std::string to;
        int64_t source_id = 0;
    };

    [[nodiscard]] TableShape::Column* Existing(const std::string& name) {
        const auto found = std::ranges::find_if(
            existing_.columns, [&](const auto& column) { return dialect_.SameName(column.name, name); });
        return found == existing_.columns.end() ? nullptr : &*found;
    }

    [[nodiscard]] bool Wants(const WrittenColumn& column) const {
        return std::ranges::any_of(wanted_.columns, [&](const auto& wanted) {
            return wanted.name == column.name ||
                   (column.source_id != 0 && wanted.source_id == column.source_id);
        });
    }

    /// What was written, stands there still, and is wanted no longer.
    [[nodiscard]] std::vector<WrittenColumn> Left() {
        std::vector<WrittenColumn> left;
        for (const WrittenColumn& column : written_) {
            if (!Wants(column) && Existing(column.name) != nullptr) {
                left.push_back(column);
            }
        }
        return left;
    }

    void Rename(const std::string& from, const std::string& to) {
        Add(base::Concat("RENAME COLUMN ", dialect_.QuoteIdentifier(from), " TO ",
                         dialect_.QuoteIdentifier(to)));
        plan_.renames.emplace_back(from, to);
        for (TableShape::Column& column : existing_.columns) {
            if (column.name == from) {
                column.name = to;
            }
        }
    }

    [[nodiscard]] std::vector<Move> Moves() {
        std::vector<Move> moves;
        for (const WantedTable::Column& column : wanted_.columns) {
            for (const WrittenColumn& earlier : written_) {
                const bool same = column.source_id != 0 && earlier.source_id == column.source_id;
                if (same && earlier.name != column.name && Existing(earlier.name) != nullptr) {
                    moves.push_back({.from = earlier.name, .to = column.name, .source_id = column.source_id});
                }
            }
        }
        return moves;
    }

    // A name that a column is to get may be that of one which moves too (two that change places), or of one
    // that the source dropped and that stays here.
    absl::Status PlanNames() {
        const std::vector<Move> moves = Moves();
        bool crossing = false;
        for (const Move& move : moves) {
            const TableShape::Column* const there = Existing(move.to);
            if (there == nullptr) {
                continue;
            }
            const bool moves_too =
                std::ranges::any_of(moves, [&](const Move& other) { return other.from == there->name; });
            crossing = crossing || moves_too;
            if (!moves_too) {
                RETURN_IF_ERROR(SetAside(std::string(there->name)));
            }
        }
        for (const Move& move : moves) {
            Rename(move.from, crossing ? Passing(move) : move.to);
        }
        for (const Move& move : moves) {
            if (crossing) {
                Rename(Passing(move), move.to);
            }
        }
        for (WrittenColumn& column : written_) {
            for (const Move& move : moves) {
                if (move.source_id == column.source_id) {
                    column.name = move.to;
                }
            }
        }
        return SetNamesakesAside();
    }

    // A new column is called as one was that the source dropped and that stays here with its values.
    absl::Status SetNamesakesAside() {
        for (const WantedTable::Column& column : wanted_.columns) {
            const bool known = std::ranges::any_of(
                written_, [&](const WrittenColumn& other) { return other.source_id == column.source_id; });
            const bool namesake = std::ranges::any_of(written_, [&](const WrittenColumn& other) {
                return other.name == column.name && (other.source_id != 0 || other.dropped);
            });
            if (column.source_id != 0 && !known && namesake && !wanted_.emptied &&
                Existing(column.name) != nullptr) {
                RETURN_IF_ERROR(SetAside(column.name));
            }
        }
        return absl::OkStatus();
    }

    static std::string Passing(const Move& move) { return base::Concat("_millrace_", move.source_id); }

    absl::Status SetAside(const std::string& name) {
        const auto ours = std::ranges::find_if(
            written_, [&](const WrittenColumn& column) { return dialect_.SameName(column.name, name); });
        if (ours == written_.end()) {
            return base::MakeError(
                absl::StatusCode::kFailedPrecondition, "NAME_TAKEN",
                base::Concat(
                    "a column of ", wanted_.target.DisplayName(), " is called \"", name,
                    "\" at the source now, and the destination has a column of that name of its own"),
                base::Concat("Rename that column: ", alter_, "RENAME COLUMN ", dialect_.QuoteIdentifier(name),
                             " TO …"));
        }
        std::string aside = base::Concat(name, "_dropped_", ours->source_id);
        while (Existing(aside) != nullptr) {
            aside += "_";
        }
        Rename(name, aside);
        ours->name = std::move(aside);
        return absl::OkStatus();
    }

    void PlanKey() {
        key_ = KeyOf(existing_);
        if (!dialect_.IndexesKeys()) {
            return;
        }
        const std::set<std::string> have(key_.begin(), key_.end());
        const std::set<std::string> want(wanted_.key.begin(), wanted_.key.end());
        if (have == want) {
            return;
        }
        // A key over a column that we never write is the user's own (a surrogate): not ours to replace.
        const bool ours = std::all_of(key_.begin(), key_.end(), [this](const std::string& name) {
            return std::ranges::any_of(wanted_.columns,
                                       [&](const auto& column) { return column.name == name; }) ||
                   std::ranges::any_of(written_, [&](const auto& column) { return column.name == name; });
        });
        if (!ours) {
            return;
        }
        if (!key_.empty()) {
            Add(base::Concat("DROP CONSTRAINT ", dialect_.QuoteIdentifier(existing_.key_name)));
        }
        if (!wanted_.key.empty()) {
            plan_.add_key = base::Concat(alter_, "ADD PRIMARY KEY (", QuotedList(dialect_, wanted_.key), ")");
        }
        key_ = wanted_.key;
    }

    // Rows come with NULL in columns that vanished at the source and where an unchanged cell has no row to
    // come from.
    void PlanNullability() {
        for (const TableShape::Column& column : existing_.columns) {
            const bool in_key = std::find(key_.begin(), key_.end(), column.name) != key_.end();
            const auto wanted = std::find_if(wanted_.columns.begin(), wanted_.columns.end(),
                                             [&](const auto& other) { return other.name == column.name; });
            const bool written = wanted != wanted_.columns.end();
            const bool needed = written ? wanted->key : column.has_default;
            if (column.not_null && !in_key && !needed) {
                Add(base::Concat("ALTER COLUMN ", dialect_.QuoteIdentifier(column.name), " DROP NOT NULL"));
            }
        }
    }

    absl::Status PlanColumn(const WantedTable::Column& column) {
        const auto found = std::find_if(existing_.columns.begin(), existing_.columns.end(),
                                        [&](const auto& other) { return other.name == column.name; });
        if (found == existing_.columns.end()) {
            if (!wanted_.emptied && WasThere(column)) {
                return base::MakeError(
                    absl::StatusCode::kFailedPrecondition, "COLUMN_MISSING",
                    base::Concat("column \"", column.name, "\" of ", wanted_.target.DisplayName(),
                                 " has gone from the destination, and with it the values applied so far"),
                    "Restore it there, or copy the table anew: `millrace table resync`");
            }
            AddColumn(column);
            return absl::OkStatus();
        }
        if (wanted_.emptied && found->type != column.type && MadeByUs(*found)) {
            Retype(*found, column);
            return absl::OkStatus();
        }
        switch (dialect_.CompareTypes(found->type, column.type)) {
            case TypeFit::kFits:
                plan_.types.push_back(found->type);
                return absl::OkStatus();
            case TypeFit::kWiden:
                Add(base::Concat("ALTER COLUMN ", dialect_.QuoteIdentifier(column.name), " TYPE ",
                                 column.type));
                plan_.types.push_back(column.type);
                return absl::OkStatus();
            case TypeFit::kClash:
                if (!column.underlying.empty() &&
                    dialect_.CompareTypes(found->type, column.underlying) == TypeFit::kFits) {
                    plan_.types.push_back(found->type);
                    return absl::OkStatus();
                }
                if (wanted_.emptied) {
                    Retype(*found, column);
                    return absl::OkStatus();
                }
                break;
        }
        return base::MakeError(
            absl::StatusCode::kFailedPrecondition, "TYPE_CHANGED",
            base::Concat("column \"", column.name, "\" of ", wanted_.target.DisplayName(), " is ",
                         found->type, " in the destination and needs to be ", column.type),
            base::Concat("Change it there (", alter_, "ALTER COLUMN ", dialect_.QuoteIdentifier(column.name),
                         " TYPE ", column.type,
                         " USING …), or rename it there to let a new column be added."));
    }

    // Somebody took it away. One whose type is another now may have been moved out of the way for it (TYPE_CHANGED).
    [[nodiscard]] bool WasThere(const WantedTable::Column& column) const {
        return std::ranges::any_of(written_, [&](const WrittenColumn& earlier) {
            return column.source_id != 0 && earlier.source_id == column.source_id && !earlier.dropped &&
                   earlier.type == column.type;
        });
    }

    // Rows that stand there are older than the column: they have in it what such rows have at the source.
    void AddColumn(const WantedTable::Column& column) {
        const std::string name = dialect_.QuoteIdentifier(column.name);
        std::string type = column.type;
        std::optional<std::string> value;
        if (column.fill && !wanted_.emptied) {
            value = wanted_.fill_as_text ? std::nullopt : dialect_.Constant(type, *column.fill);
            if (!value) {
                type = "TEXT";
                value = dialect_.QuoteLiteral(*column.fill);
            }
        }
        if (value) {
            Add(base::Concat("ADD COLUMN ", name, " ", type, " DEFAULT ", *value));
            Add(base::Concat("ALTER COLUMN ", name, " DROP DEFAULT"));
        } else {
            Add(base::Concat("ADD COLUMN ", name, " ", type));
        }
        plan_.types.push_back(std::move(type));
    }

    // It has the type that the source's column had: not one that somebody chose here, nor text for want of a
    // better.
    [[nodiscard]] bool MadeByUs(const TableShape::Column& existing) const {
        return std::ranges::any_of(written_, [&](const WrittenColumn& column) {
            return column.name == existing.name && column.type == existing.type;
        });
    }

    void Retype(const TableShape::Column& existing, const WantedTable::Column& column) {
        const std::string alter = base::Concat("ALTER COLUMN ", dialect_.QuoteIdentifier(column.name));
        if (existing.has_default) {
            Add(base::Concat(alter, " DROP DEFAULT"));
        }
        Add(base::Concat(alter, " TYPE ", column.type, " USING NULL"));
        plan_.types.push_back(column.type);
    }

    void Add(std::string action) { plan_.statements.push_back(alter_ + std::move(action)); }

    const Dialect& dialect_;
    const WantedTable& wanted_;
    /// As it will stand once what is planned so far has run.
    TableShape existing_;
    std::vector<WrittenColumn> written_;
    const std::string alter_;
    std::vector<std::string> key_;
    SchemaPlan plan_;
};

}  // namespace

WantedTable WantTable(const Dialect& dialect, const sdk::TableTarget& target, const sdk::TableSchema& schema,
                      const std::vector<std::string>& types) {
    WantedTable wanted{.target = target, .columns = {}, .key = {}, .source_table_id = schema.source_table_id};
    const std::vector<std::string> names = dialect.ColumnNames(schema);
    for (size_t i = 0; i < names.size(); ++i) {
        wanted.columns.push_back({.name = names[i],
                                  .type = types[i],
                                  .key = false,
                                  .underlying = dialect.UnderlyingType(schema.columns[i]),
                                  .source_id = schema.columns[i].source_id,
                                  .fill = schema.columns[i].fill});
    }
    for (const int column : schema.KeyColumns()) {
        const auto index = static_cast<size_t>(column);
        wanted.columns[index].key = true;
        wanted.key.push_back(names[index]);
    }
    return wanted;
}

absl::StatusOr<SchemaPlan> PlanSchema(const Dialect& dialect, const WantedTable& wanted,
                                      const std::optional<TableShape>& existing, bool schema_exists,
                                      const WrittenColumns& written) {
    if (!existing) {
        return PlanNewTable(dialect, wanted, schema_exists);
    }
    return Evolution(dialect, wanted, *existing, written).Plan();
}

}  // namespace millrace::sql
