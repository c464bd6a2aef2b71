#include <cstdio>

#include "base/status.h"
#include "data-plane/codec/event_codec.h"
#include "data-plane/publish/stream_position.h"
#include "millrace/v1/change_event.pb.h"

namespace millrace::publish {
namespace {

constexpr std::string_view kTablePrefix = "table/";

absl::Status Malformed(std::string_view key) {
    return base::MakeError(
        absl::StatusCode::kDataLoss, "CONTROL_TOPIC_DAMAGED",
        "the control topic holds a record '" + std::string(key) + "' that is not Millrace's",
        "Nothing but Millrace may write to this topic; restore it or delete the pipeline and make it anew");
}

absl::Status DecodePosition(std::string_view bytes, StreamPosition& position) {
    v1::PublisherPosition proto;
    if (!proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
        return Malformed(kPositionKey);
    }
    position = {.system_id = proto.system_id(),
                .timeline = proto.timeline(),
                .generation = proto.generation(),
                .last = {proto.commit_lsn(), proto.seq()},
                .end = proto.end_lsn(),
                .streaming = proto.streaming(),
                .mid_transaction = proto.mid_transaction(),
                .resync_counter = proto.resync_counter()};
    return absl::OkStatus();
}

sdk::KeyTexts DecodeKey(const v1::BackfillKey& key) {
    return {key.cells().begin(), key.cells().end()};
}

void EncodeKey(const sdk::KeyTexts& key, v1::BackfillKey& proto) {
    proto.mutable_cells()->Assign(key.begin(), key.end());
}

BackfillState DecodeBackfill(const v1::BackfillState& proto) {
    BackfillState state{.ranges = {},
                        .repairs = {},
                        .resync = proto.resync(),
                        .chosen = proto.chosen(),
                        .where = proto.where(),
                        .rows = proto.rows(),
                        .bytes = proto.bytes(),
                        .chunks = proto.chunks()};
    for (const v1::BackfillRange& range : proto.ranges()) {
        state.ranges.push_back({.cursor = DecodeKey(range.cursor()), .bound = DecodeKey(range.bound()), .scanned = range.scanned()});
    }
    if (state.ranges.empty() && !proto.scanned()) {
        state.ranges.push_back({.cursor = DecodeKey(proto.cursor()), .bound = DecodeKey(proto.bound()), .scanned = false});
    }
    for (const v1::BackfillKey& key : proto.repairs()) {
        state.repairs.push_back(DecodeKey(key));
    }
    return state;
}

void EncodeBackfill(const BackfillState& state, v1::BackfillState& proto) {
    for (const backfill::KeyRange& range : state.ranges) {
        v1::BackfillRange& one = *proto.add_ranges();
        EncodeKey(range.cursor, *one.mutable_cursor());
        EncodeKey(range.bound, *one.mutable_bound());
        one.set_scanned(range.scanned);
    }
    proto.set_scanned(state.scanned());
    proto.set_resync(state.resync);
    proto.set_chosen(state.chosen);
    proto.set_where(state.where);
    proto.set_rows(state.rows);
    proto.set_bytes(state.bytes);
    proto.set_chunks(state.chunks);
    for (const sdk::KeyTexts& key : state.repairs) {
        EncodeKey(key, *proto.add_repairs());
    }
}

absl::Status DecodeTable(const std::string& key, std::string_view bytes, ControlState& state) {
    v1::TableCopyState proto;
    if (!proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
        return Malformed(key);
    }
    sdk::SchemaPtr schema;
    if (!proto.schema_record().empty()) {
        ASSIGN_OR_RETURN(schema, codec::DecodeSchema(proto.schema_record()));
    }
    state.tables[proto.topic()] = {.schema = proto.schema(),
                                   .table = proto.table(),
                                   .topic = proto.topic(),
                                   .copied = proto.copied(),
                                   .copied_at = proto.copied_at_lsn(),
                                   .rows = proto.rows(),
                                   .resync_counter = proto.resync_counter(),
                                   .source_table_id = proto.source_table_id(),
                                   .schema_id = proto.schema_id(),
                                   .columns = {proto.columns().begin(), proto.columns().end()},
                                   .schema_of_last = std::move(schema),
                                   .column_policy = proto.column_policy(),
                                   .stream_entry = proto.stream_entry(),
                                   .held_reason = proto.held_reason(),
                                   .held_error = proto.held_error(),
                                   .held_remedy = proto.held_remedy()};
    TableState& table = state.tables[proto.topic()];
    table.backfill_seq = proto.backfill_seq();
    table.stands = proto.stands() || proto.copied();
    table.cancel_counter = proto.cancel_counter();
    table.chosen_counter = proto.chosen_counter();
    table.incomplete = proto.incomplete();
    if (proto.has_backfill()) {
        table.backfill = DecodeBackfill(proto.backfill());
    }
    return absl::OkStatus();
}

}  // namespace

std::string PositionText(uint64_t position) {
    char text[24];
    std::snprintf(text, sizeof(text), "%X/%X", static_cast<unsigned>(position >> 32),
                  static_cast<unsigned>(position & 0xFFFFFFFFU));
    return text;
}

std::string TableKey(const TableState& table) {
    return std::string(kTablePrefix) + table.topic;
}

std::string EncodePosition(const StreamPosition& position) {
    v1::PublisherPosition proto;
    proto.set_system_id(position.system_id);
    proto.set_timeline(position.timeline);
    proto.set_generation(position.generation);
    proto.set_commit_lsn(position.last.commit);
    proto.set_seq(position.last.seq);
    proto.set_end_lsn(position.end);
    proto.set_streaming(position.streaming);
    proto.set_mid_transaction(position.mid_transaction);
    proto.set_resync_counter(position.resync_counter);
    return proto.SerializeAsString();
}

std::string EncodeTableState(const TableState& table) {
    v1::TableCopyState proto;
    proto.set_schema(table.schema);
    proto.set_table(table.table);
    proto.set_topic(table.topic);
    proto.set_copied(table.copied);
    proto.set_copied_at_lsn(table.copied_at);
    proto.set_rows(table.rows);
    proto.set_resync_counter(table.resync_counter);
    proto.set_source_table_id(table.source_table_id);
    proto.set_schema_id(table.schema_id);
    proto.mutable_columns()->Assign(table.columns.begin(), table.columns.end());
    if (table.schema_of_last) {
        proto.set_schema_record(codec::EncodeSchema(*table.schema_of_last));
    }
    proto.set_column_policy(table.column_policy);
    proto.set_stream_entry(table.stream_entry);
    proto.set_held_reason(table.held_reason);
    proto.set_held_error(table.held_error);
    proto.set_held_remedy(table.held_remedy);
    proto.set_backfill_seq(table.backfill_seq);
    proto.set_stands(table.stands);
    proto.set_cancel_counter(table.cancel_counter);
    proto.set_chosen_counter(table.chosen_counter);
    proto.set_incomplete(table.incomplete);
    if (table.backfill) {
        EncodeBackfill(*table.backfill, *proto.mutable_backfill());
    }
    return proto.SerializeAsString();
}

absl::Status DecodeControlRecord(const std::string& key, std::string_view value, ControlState& state) {
    if (key == kPositionKey) {
        return DecodePosition(value, state.position);
    }
    return key.starts_with(kTablePrefix) ? DecodeTable(key, value, state) : Malformed(key);
}

}  // namespace millrace::publish
