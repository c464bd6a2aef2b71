#include "data-plane/codec/debezium_encoder.h"

#include <cstddef>
#include <utility>

#include "base/clock.h"
#include "data-plane/codec/base64.h"
#include "data-plane/codec/debezium_types.h"
#include "data-plane/codec/debezium_value.h"
#include "data-plane/codec/json_text.h"
#include "millrace/v1/change_event.pb.h"

namespace millrace::codec {
namespace {

using CellTexts = google::protobuf::RepeatedPtrField<v1::DebeziumNote::CellText>;

constexpr std::size_t kMaxFixed = 20'000;

sdk::Cell CellAt(sdk::RowView row, std::size_t column) {
    return column < row.size() ? row[column] : sdk::Cell::Null();
}

/// Where the update's row had another key before.
bool MovesKey(const sdk::ChangeEvent& event) {
    if (event.op != sdk::Op::kUpdate || event.before.empty() || event.schema->append_only) {
        return false;
    }
    for (std::size_t i = 0; i < event.schema->columns.size(); ++i) {
        if (event.schema->columns[i].key_ordinal == 0) {
            continue;
        }
        const sdk::Cell now = CellAt(event.after, i);
        const sdk::Cell old = CellAt(event.before, i);
        if (now.is_value() && (!old.is_value() || now.text() != old.text())) {
            return true;
        }
    }
    return false;
}

/// Debezium's letter: a key move is the delete of one row and the creation of another.
char OpLetter(const sdk::ChangeEvent& event) {
    switch (event.op) {
        case sdk::Op::kInsert:
            return 'c';
        case sdk::Op::kUpdate:
            return MovesKey(event) ? 'c' : 'u';
        case sdk::Op::kDelete:
            return 'd';
        case sdk::Op::kTruncate:
            return 't';
        case sdk::Op::kRead:
            return 'r';
        case sdk::Op::kResync:
        case sdk::Op::kResyncEnd:
        case sdk::Op::kResyncCancel:
            return 'm';  // a message: of no row
    }
    return '?';
}

/// Appends the row as an object; what its values do not say exactly comes into `texts`.
void AppendRow(const sdk::TableSchema& schema, sdk::RowView row, CellTexts& texts, std::string& json) {
    if (row.empty()) {
        json += "null";
        return;
    }
    char before = '{';
    for (std::size_t i = 0; i < row.size(); ++i) {
        json += before;
        before = ',';
        AppendJsonText(schema.columns[i].name, json);
        json += ':';
        if (row[i].is_null()) {
            json += "null";
        } else if (row[i].is_unchanged()) {
            AppendUnavailable(schema.columns[i], json);
        } else if (!AppendCellValue(schema.columns[i], row[i].text(), json)) {
            v1::DebeziumNote::CellText& text = *texts.Add();
            text.set_column(static_cast<uint32_t>(i));
            text.set_text(std::string(row[i].text()));
        }
    }
    json += '}';
}

void FillHead(const sdk::ChangeEvent& event, v1::ChangeRecord& head) {
    head.set_op(static_cast<v1::ChangeRecord::Op>(event.op));
    head.set_commit_lsn(event.position.commit);
    head.set_seq(event.position.seq);
    head.set_commit_time_us(event.commit_time_us);
    head.set_xid(event.xid);
    head.set_schema_id(event.schema->id);
    head.set_generation(event.generation);
    for (std::size_t i = 0; i < event.after.size(); ++i) {
        if (event.after[i].is_unchanged()) {
            std::string& bits = *head.mutable_after_unchanged();
            bits.resize((event.after.size() + 7) / 8);
            bits[i / 8] = static_cast<char>(static_cast<unsigned char>(bits[i / 8]) | (1U << (i % 8)));
        }
    }
}

/// Milliseconds, microseconds and nanoseconds, under Debezium's names.
void AppendTimes(int64_t micros, std::string& json) {
    json += "\"ts_ms\":" + std::to_string(micros / 1000) + ",\"ts_us\":" + std::to_string(micros);
    int64_t nanos = 0;
    if (!__builtin_mul_overflow(micros, int64_t{1000}, &nanos)) {
        json += ",\"ts_ns\":" + std::to_string(nanos);
    }
}

}  // namespace

const DebeziumEncoder::Fixed& DebeziumEncoder::FixedOf(const sdk::TableSchema& schema) {
    if (fixed_.size() > kMaxFixed) {
        fixed_.clear();
    }
    const auto [entry, fresh] = fixed_.try_emplace(schema.id);
    Fixed& fixed = entry->second;
    if (fresh) {
        const std::string name = origin_.name + "." + schema.schema + "." + schema.table;
        AppendKeySchema(schema, name, fixed.key_schema);
        AppendEnvelopeSchema(schema, name, fixed.envelope_schema);
        const std::string connector = schema.source == "postgres" ? "postgresql" : schema.source;
        const std::pair<std::string_view, std::string_view> members[] = {
            {"{\"version\":", "millrace"},
            {",\"connector\":", connector},
            {",\"name\":", origin_.name},
            {",\"db\":", origin_.database},
            {",\"schema\":", schema.schema},
            {",\"table\":", schema.table}};
        for (const auto& [member, text] : members) {
            fixed.source += member;
            AppendJsonText(text, fixed.source);
        }
    }
    return fixed;
}

void DebeziumEncoder::Encode(const sdk::ChangeEvent& event, std::string& key, std::string& value) {
    v1::DebeziumNote note;
    FillHead(event, *note.mutable_head());
    before_.clear();
    after_.clear();
    AppendRow(*event.schema, event.before, *note.mutable_before(), before_);
    AppendRow(*event.schema, event.after, *note.mutable_after(), after_);
    note_.clear();
    AppendBase64(note.SerializeAsString(), note_);
    EncodeEnvelope(event, OpLetter(event), note_, value);
    EncodeKeyOf(*event.schema, event.after.empty() ? event.before : event.after, event.before, key);
}

bool DebeziumEncoder::EncodeOldKey(const sdk::ChangeEvent& event, std::string& key, std::string& value) {
    if (!MovesKey(event)) {
        return false;
    }
    CellTexts unused;
    before_.clear();
    after_ = "null";
    AppendRow(*event.schema, event.before, unused, before_);
    EncodeEnvelope(event, 'd', {}, value);
    EncodeKeyOf(*event.schema, event.before, {}, key);
    return true;
}

void DebeziumEncoder::EncodeEnvelope(const sdk::ChangeEvent& event, char op, std::string_view note,
                                     std::string& value) {
    const Fixed& fixed = FixedOf(*event.schema);
    value = fixed.envelope_schema;
    value += ",\"payload\":{\"before\":";
    value += before_;
    value += ",\"after\":";
    value += after_;
    value += ",\"source\":";
    value += fixed.source;
    value += event.op == sdk::Op::kRead ? ",\"snapshot\":\"true\"," : ",\"snapshot\":\"false\",";
    AppendTimes(event.commit_time_us, value);
    value += ",\"sequence\":null,\"txId\":" + std::to_string(event.xid) +
             ",\"lsn\":" + std::to_string(static_cast<int64_t>(event.position.commit)) +
             ",\"xmin\":null,\"millrace\":";
    if (note.empty()) {
        value += "null";
    } else {
        value += '"';
        value += note;
        value += '"';
    }
    value += "},\"transaction\":null,\"op\":\"";
    value += op;
    value += "\",";
    AppendTimes(base::NowMicros(), value);
    value += "}}";
}

void DebeziumEncoder::EncodeKeyOf(const sdk::TableSchema& schema, sdk::RowView row, sdk::RowView old_row,
                                  std::string& key) {
    key.clear();
    if (schema.append_only || row.empty()) {
        return;
    }
    const std::vector<int> columns = schema.KeyColumns();
    if (columns.empty()) {
        return;
    }
    key = FixedOf(schema).key_schema;
    key += ",\"payload\":";
    char before = '{';
    for (const int index : columns) {
        const auto i = static_cast<std::size_t>(index);
        const sdk::Cell sent = CellAt(row, i);
        const sdk::Cell cell = sent.is_unchanged() ? CellAt(old_row, i) : sent;
        key += before;
        before = ',';
        AppendJsonText(schema.columns[i].name, key);
        key += ':';
        if (cell.is_value()) {
            AppendCellValue(schema.columns[i], cell.text(), key);
        } else {
            key += "null";
        }
    }
    key += "}}";
}

}  // namespace millrace::codec
