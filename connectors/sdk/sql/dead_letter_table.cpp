#include "connectors/sdk/sql/dead_letter_table.h"

#include <algorithm>
#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "base/text.h"
#include "connectors/sdk/sql/checkpoint_table.h"
#include "connectors/sdk/sql/letter_json.h"

namespace millrace::sql {
namespace {

using Kind = sdk::BatchRow::Kind;

constexpr size_t kStatementRows = 500;
constexpr size_t kStatementBytes = 1 << 20;
/// Letters on their way from one key to another; no key begins so.
constexpr std::string_view kAside = "moving ";

/// Cells of columns that `row` leaves unchanged.
std::vector<std::string> UnchangedNames(const sdk::TableSchema& schema, sdk::RowView row) {
    std::vector<std::string> names;
    for (size_t i = 0; i < row.size(); ++i) {
        if (row[i].is_unchanged()) {
            names.push_back(schema.columns[i].name);
        }
    }
    return names;
}

}  // namespace

std::string DeadLetterTable::Name() const {
    return dialect_.Qualified({std::string(CheckpointTable::kSchema), std::string(kTable)});
}

std::string DeadLetterTable::Where() const {
    return base::Concat(" WHERE pipeline_uid = ", dialect_.QuoteLiteral(stream_.pipeline_uid),
                        " AND topic = ", dialect_.QuoteLiteral(stream_.topic));
}

absl::Status DeadLetterTable::Ensure() {
    ASSIGN_OR_RETURN(const auto shape,
                     session_.Describe({std::string(CheckpointTable::kSchema), std::string(kTable)}));
    if (shape) {
        return absl::OkStatus();
    }
    return InTransaction(session_, "creating _millrace.dead_letters", [this] { return Create(); });
}

absl::Status DeadLetterTable::Create() {
    if (const std::string lock = dialect_.DdlLock(); !lock.empty()) {
        RETURN_IF_ERROR(session_.Execute(lock).status());
    }
    const std::string number = dialect_.UnsignedType();
    RETURN_IF_ERROR(
        session_
            .Execute(base::Concat(
                "CREATE TABLE IF NOT EXISTS ", Name(),
                " (pipeline_uid TEXT NOT NULL, topic TEXT NOT NULL, pipeline TEXT, schema_name TEXT NOT NULL,"
                " table_name TEXT NOT NULL, column_name TEXT, key_text TEXT NOT NULL, value_text TEXT NOT "
                "NULL,"
                " value_format TEXT NOT NULL, reason TEXT NOT NULL, commit_lsn ",
                number, " NOT NULL, seq ", number, " NOT NULL, created_at TIMESTAMPTZ NOT NULL)"))
            .status());
    const std::string index = dialect_.TextIndex("dead_letters_key", Name(), "key_text");
    return index.empty() ? absl::OkStatus() : session_.Execute(index).status();
}

absl::StatusOr<int64_t> DeadLetterTable::Count() {
    ASSIGN_OR_RETURN(const auto rows, session_.Query(base::Concat("SELECT count(*) FROM ", Name(), Where())));
    int64_t count = 0;
    if (rows.size() != 1 || rows[0].size() != 1 || !rows[0][0] || !absl::SimpleAtoi(*rows[0][0], &count)) {
        return base::MakeError(absl::StatusCode::kInternal, "UNEXPECTED_ANSWER",
                               "the count of dead letters is not a number");
    }
    return count;
}

absl::StatusOr<int64_t> DeadLetterTable::Supersede(const sdk::Batch& batch) {
    int64_t removed = 0;
    // Of rows that come again, the letters do too.
    if (batch.truncate_first || batch.resync_begins) {
        ASSIGN_OR_RETURN(removed, session_.Execute(base::Concat("DELETE FROM ", Name(), Where())));
        return removed;
    }
    const sdk::TableSchema& schema = *batch.schema;
    const std::vector<int> key = schema.KeyColumns();
    if (key.empty()) {
        return 0;
    }
    RETURN_IF_ERROR(SetAside(batch, key));
    // By what a row does not say: what it does say is newer than any letter.
    std::map<std::string, std::vector<std::string>> keys;
    for (size_t i = 0; i < batch.rows.size(); ++i) {
        std::string condition;
        if (batch.rows[i].kind == Kind::kPartial && batch.rows[i].source_key < 0) {
            // NULL, a whole row, is in no list: it keeps what this row does not say.
            condition = base::Concat(" AND column_name NOT IN (",
                                     absl::StrJoin(UnchangedNames(schema, batch.Row(i)), ", ",
                                                   [this](std::string* out, const std::string& name) {
                                                       out->append(dialect_.QuoteLiteral(name));
                                                   }),
                                     ")");
        }
        keys[condition].push_back(KeyText(schema, key, batch.Row(i)));
    }
    for (const auto& [condition, list] : keys) {
        ASSIGN_OR_RETURN(const int64_t gone, Remove(list, condition));
        removed += gone;
    }
    if (!batch.source_keys.empty()) {
        RETURN_IF_ERROR(
            session_
                .Execute(base::Concat("UPDATE ", Name(), " SET key_text = substr(key_text, ",
                                      kAside.size() + 1, ")", Where(), " AND key_text LIKE '", kAside, "%'"))
                .status());
    }
    ASSIGN_OR_RETURN(const int64_t empty, Shorten(batch, key));
    return removed + empty;
}

absl::StatusOr<int64_t> DeadLetterTable::Shorten(const sdk::Batch& batch, const std::vector<int>& key) {
    const sdk::TableSchema& schema = *batch.schema;
    std::map<std::string, std::set<std::string>> said;
    std::vector<std::string> keys;
    for (size_t i = 0; i < batch.rows.size(); ++i) {
        if (batch.rows[i].kind != Kind::kPartial) {
            continue;
        }
        std::set<std::string>& names = said[KeyText(schema, key, batch.Row(i))];
        for (size_t column = 0; column < schema.columns.size(); ++column) {
            if (!batch.Row(i)[column].is_unchanged() && schema.columns[column].key_ordinal == 0) {
                names.insert(schema.columns[column].name);
            }
        }
    }
    for (const auto& [text, names] : said) {
        if (!names.empty()) {
            keys.push_back(dialect_.QuoteLiteral(text));
        }
    }
    int64_t removed = 0;
    for (size_t first = 0; first < keys.size(); first += kStatementRows) {
        const auto end = keys.begin() + static_cast<ptrdiff_t>(std::min(keys.size(), first + kStatementRows));
        ASSIGN_OR_RETURN(const std::vector<DeadLetter> whole,
                         Select(base::Concat(" AND column_name IS NULL AND key_text IN (",
                                             absl::StrJoin(keys.begin() + static_cast<ptrdiff_t>(first), end, ", "),
                                             ")")));
        for (const DeadLetter& letter : whole) {
            ASSIGN_OR_RETURN(const int64_t gone, Shorten(letter, said[letter.key]));
            removed += gone;
        }
    }
    return removed;
}

absl::StatusOr<int64_t> DeadLetterTable::Shorten(const DeadLetter& letter, const std::set<std::string>& said) {
    auto members = ReadJsonMembers(letter.value);
    const auto key = ReadJsonMembers(letter.key);
    if (!members || !key ||
        std::erase_if(*members, [&](const auto& member) { return said.contains(member.first); }) == 0) {
        return 0;
    }
    const std::string which =
        base::Concat(Where(), " AND column_name IS NULL AND key_text = ", dialect_.QuoteLiteral(letter.key),
                     " AND commit_lsn = ", letter.position.commit, " AND seq = ", letter.position.seq);
    // What is left is the key alone.
    if (members->size() <= key->size()) {
        return session_.Execute(base::Concat("DELETE FROM ", Name(), which));
    }
    RETURN_IF_ERROR(session_
                        .Execute(base::Concat("UPDATE ", Name(), " SET value_text = ",
                                              dialect_.QuoteLiteral(WriteJsonMembers(*members)), which))
                        .status());
    return 0;
}

absl::Status DeadLetterTable::SetAside(const sdk::Batch& batch, const std::vector<int>& key) {
    const sdk::TableSchema& schema = *batch.schema;
    for (size_t i = 0; i < batch.rows.size(); ++i) {
        if (batch.rows[i].kind != Kind::kPartial || batch.rows[i].source_key < 0) {
            continue;
        }
        const std::string from =
            KeyText(schema, key, batch.source_keys[static_cast<size_t>(batch.rows[i].source_key)]);
        const std::string to = base::Concat(kAside, KeyText(schema, key, batch.Row(i)));
        std::string columns;
        for (const std::string& name : UnchangedNames(schema, batch.Row(i))) {
            base::Append(columns, columns.empty() ? "" : ", ", dialect_.QuoteLiteral(name));
        }
        RETURN_IF_ERROR(
            session_
                .Execute(base::Concat("UPDATE ", Name(), " SET key_text = ", dialect_.QuoteLiteral(to),
                                      Where(), " AND key_text = ", dialect_.QuoteLiteral(from),
                                      " AND (column_name IS NULL OR column_name IN (", columns, "))"))
                .status());
    }
    return absl::OkStatus();
}

absl::StatusOr<int64_t> DeadLetterTable::Remove(const std::vector<std::string>& keys,
                                                const std::string& condition) {
    int64_t removed = 0;
    std::string list;
    size_t count = 0;
    for (size_t i = 0; i < keys.size(); ++i) {
        base::Append(list, list.empty() ? "" : ", ", dialect_.QuoteLiteral(keys[i]));
        if (++count < kStatementRows && list.size() < kStatementBytes && i + 1 < keys.size()) {
            continue;
        }
        ASSIGN_OR_RETURN(const int64_t gone,
                         session_.Execute(base::Concat("DELETE FROM ", Name(), Where(), " AND key_text IN (",
                                                       list, ")", condition)));
        removed += gone;
        list.clear();
        count = 0;
    }
    return removed;
}

absl::Status DeadLetterTable::RenameColumn(const std::string& from, const std::string& to) {
    const auto text = [this](std::string_view value) { return dialect_.QuoteLiteral(value); };
    RETURN_IF_ERROR(session_
                        .Execute(base::Concat("UPDATE ", Name(), " SET column_name = ", text(to), Where(),
                                              " AND column_name = ", text(from)))
                        .status());
    // Inside a value a quote is escaped, so that only a member's name is followed by a quote and a colon.
    const std::string member =
        base::Concat(text(base::Concat(JsonText(from), ":")), ", ", text(base::Concat(JsonText(to), ":")));
    return session_
        .Execute(base::Concat("UPDATE ", Name(), " SET key_text = replace(key_text, ", member,
                              "), value_text = CASE WHEN column_name IS NULL THEN replace(value_text, ",
                              member, ") ELSE value_text END", Where()))
        .status();
}

absl::StatusOr<std::vector<DeadLetter>> DeadLetterTable::Select(const std::string& condition) {
    ASSIGN_OR_RETURN(const auto rows,
                     session_.Query(base::Concat(
                         "SELECT column_name, key_text, value_text, value_format, reason, commit_lsn, seq FROM ",
                         Name(), Where(), condition)));
    std::vector<DeadLetter> letters;
    for (const SqlSession::Row& row : rows) {
        DeadLetter& letter = letters.emplace_back();
        if (row.size() != 7 || !row[1] || !row[2] || !row[3] || !row[4] || !row[5] || !row[6] ||
            !absl::SimpleAtoi(*row[5], &letter.position.commit) ||
            !absl::SimpleAtoi(*row[6], &letter.position.seq)) {
            return base::MakeError(absl::StatusCode::kDataLoss, "DEAD_LETTER_UNREADABLE",
                                   base::Concat("a row of topic ", stream_.topic,
                                                " in _millrace.dead_letters is not as Millrace writes them"),
                                   "Restore that table from a backup, or delete the row and copy the table anew.");
        }
        letter.column = row[0];
        letter.key = *row[1];
        letter.value = *row[2];
        letter.json = *row[3] == "json";
        letter.reason = *row[4];
    }
    return letters;
}

absl::StatusOr<std::vector<DeadLetter>> DeadLetterTable::Read(int64_t skip, int64_t limit) {
    return Select(base::Concat(" AND key_text <> '' ORDER BY key_text, commit_lsn, seq, column_name LIMIT ", limit,
                               " OFFSET ", skip));
}

absl::StatusOr<int64_t> DeadLetterTable::Remove(const std::vector<DeadLetter>& letters) {
    std::map<std::string, std::vector<std::string>> keys;
    for (const DeadLetter& letter : letters) {
        keys[letter.column ? base::Concat(" AND column_name = ", dialect_.QuoteLiteral(*letter.column))
                           : " AND column_name IS NULL"]
            .push_back(letter.key);
    }
    int64_t removed = 0;
    for (const auto& [condition, list] : keys) {
        ASSIGN_OR_RETURN(const int64_t gone, Remove(list, condition));
        removed += gone;
    }
    return removed;
}

absl::Status DeadLetterTable::Add(const sdk::TableTarget& target, const std::vector<DeadLetter>& letters) {
    const auto text = [this](std::string_view value) { return dialect_.QuoteLiteral(value); };
    const std::string where =
        base::Concat("(", text(stream_.pipeline_uid), ", ", text(stream_.topic), ", ", text(stream_.pipeline),
                     ", ", text(target.schema), ", ", text(target.table), ", ");
    const std::string now = NowLiteral();
    std::string rows;
    size_t count = 0;
    for (size_t i = 0; i < letters.size(); ++i) {
        const DeadLetter& letter = letters[i];
        base::Append(rows, rows.empty() ? "" : ", ", where, letter.column ? text(*letter.column) : "NULL",
                     ", ", text(letter.key), ", ", text(letter.value), ", ",
                     letter.json ? "'json'" : "'text'", ", ", text(letter.reason), ", ",
                     letter.position.commit, ", ", letter.position.seq, ", ", now, ")");
        if (++count < kStatementRows && rows.size() < kStatementBytes && i + 1 < letters.size()) {
            continue;
        }
        RETURN_IF_ERROR(
            session_
                .Execute(base::Concat("INSERT INTO ", Name(),
                                      " (pipeline_uid, topic, pipeline, schema_name, table_name, column_name,"
                                      " key_text, value_text, value_format, reason, commit_lsn, seq,"
                                      " created_at) VALUES ",
                                      rows))
                .status());
        rows.clear();
        count = 0;
    }
    return absl::OkStatus();
}

}  // namespace millrace::sql
