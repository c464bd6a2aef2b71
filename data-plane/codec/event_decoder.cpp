#include "data-plane/codec/event_decoder.h"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

#include "base/status.h"
#include "data-plane/codec/debezium_decoder.h"
#include "data-plane/codec/wire.h"

namespace millrace::codec {
namespace {

/// What is not yet in the event after one pass over the fields.
struct RawRecord final {
    uint64_t op = 0;
    uint64_t xid = 0;
    uint64_t generation = 0;
    uint64_t schema_id = 0;
    std::string_view after_null;
    std::string_view after_unchanged;
    std::string_view before_null;
};

bool ReadCell(WireReader& in, std::vector<sdk::Cell>& cells) {
    std::string_view text;
    if (!in.ReadBytes(text) || text.size() > std::numeric_limits<uint32_t>::max()) {
        return false;
    }
    cells.push_back(sdk::Cell::Value(text));
    return true;
}

bool ReadField(WireReader& in, uint64_t tag, RawRecord& raw, DecodedEvent& into) {
    using enum ChangeField;
    uint64_t number = 0;
    switch (tag) {
        case Tag(kOp, WireType::kVarint):
            return in.ReadVarint(raw.op);
        case Tag(kCommit, WireType::kVarint):
            return in.ReadVarint(into.event.position.commit);
        case Tag(kSeq, WireType::kVarint):
            return in.ReadVarint(into.event.position.seq);
        case Tag(kCommitTime, WireType::kVarint):
            if (!in.ReadVarint(number)) {
                return false;
            }
            into.event.commit_time_us = static_cast<int64_t>(number);
            return true;
        case Tag(kXid, WireType::kVarint):
            return in.ReadVarint(raw.xid);
        case Tag(kSchemaId, WireType::kFixed64):
            return in.ReadFixed64(raw.schema_id);
        case Tag(kGeneration, WireType::kVarint):
            return in.ReadVarint(raw.generation);
        case Tag(kAfter, WireType::kBytes):
            return ReadCell(in, into.after);
        case Tag(kAfterNull, WireType::kBytes):
            return in.ReadBytes(raw.after_null);
        case Tag(kAfterUnchanged, WireType::kBytes):
            return in.ReadBytes(raw.after_unchanged);
        case Tag(kBefore, WireType::kBytes):
            return ReadCell(in, into.before);
        case Tag(kBeforeNull, WireType::kBytes):
            return in.ReadBytes(raw.before_null);
        default:
            break;
    }
    const uint64_t field = tag >> 3U;
    const bool ours = field <= static_cast<uint64_t>(kBeforeNull);
    return !ours && tag <= std::numeric_limits<uint32_t>::max() && in.Skip(static_cast<uint32_t>(tag & 7U));
}

/// Turns the cells whose bit is set, and which must be empty values, into `marked`.
bool ApplyBitmap(std::string_view bits, sdk::Cell marked, std::vector<sdk::Cell>& cells) {
    for (std::size_t byte = 0; byte < bits.size(); ++byte) {
        auto left = static_cast<unsigned char>(bits[byte]);
        for (std::size_t i = byte * 8; left != 0; ++i, left = static_cast<unsigned char>(left >> 1U)) {
            if ((left & 1U) == 0) {
                continue;
            }
            if (i >= cells.size() || !cells[i].is_value() || cells[i].size() != 0) {
                return false;
            }
            cells[i] = marked;
        }
    }
    return true;
}

/// Whether the images are those that the operation has.
bool ImagesFit(sdk::Op op, std::size_t columns, std::size_t after, std::size_t before) {
    const bool before_fits = before == 0 || before == columns;
    switch (op) {
        case sdk::Op::kInsert:
        case sdk::Op::kUpdate:
        case sdk::Op::kRead:
            return after == columns && before_fits;
        case sdk::Op::kDelete:
            return after == 0 && before == columns;
        case sdk::Op::kTruncate:
        case sdk::Op::kResync:
        case sdk::Op::kResyncEnd:
        case sdk::Op::kResyncCancel:
            return after == 0 && before == 0;
    }
    return false;
}

}  // namespace

absl::Status Malformed(std::string_view what) {
    return base::MakeError(absl::StatusCode::kDataLoss, "BAD_RECORD",
                           "a change record cannot be decoded: " + std::string(what),
                           "check that nothing but Millrace writes to the topic, then copy the table anew");
}

void Reset(DecodedEvent& into) {
    into.after.clear();
    into.before.clear();
    into.event.position = {};
    into.event.commit_time_us = 0;
    into.event.after = {};
    into.event.before = {};
    into.texts.reset();
}

absl::Status TakeSchema(uint64_t id, const SchemaLookup& schemas, DecodedEvent& into) {
    sdk::SchemaPtr& schema = into.event.schema;
    // Ids are hashes of the content, so the schema of the event before is as good as a new one.
    if (schema != nullptr && schema->id == id) {
        return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(schema, schemas(id));
    return schema != nullptr ? absl::OkStatus() : Malformed("its schema is unknown");
}

absl::Status TakeImages(DecodedEvent& into) {
    if (!ImagesFit(into.event.op, into.event.schema->columns.size(), into.after.size(), into.before.size())) {
        return Malformed("its cells do not fit the schema of " + into.event.schema->DisplayName());
    }
    into.event.after = into.after;
    into.event.before = into.before;
    return absl::OkStatus();
}

absl::Status DecodeValue(std::string_view value, const SchemaLookup& schemas, DecodedEvent& into) {
    // A ChangeRecord begins with the tag of its operation.
    if (value.starts_with('{')) {
        return DecodeDebezium(value, schemas, into);
    }
    Reset(into);
    RawRecord raw;
    WireReader in(value);
    while (!in.done()) {
        uint64_t tag = 0;
        if (!in.ReadVarint(tag) || !ReadField(in, tag, raw, into)) {
            return Malformed("its bytes are damaged");
        }
    }
    if (raw.op < static_cast<uint64_t>(sdk::Op::kInsert) || raw.op > static_cast<uint64_t>(sdk::Op::kResyncCancel)) {
        return Malformed("its operation is unknown to this version");
    }
    if (raw.xid > std::numeric_limits<uint32_t>::max() ||
        raw.generation > std::numeric_limits<uint32_t>::max()) {
        return Malformed("its transaction id or generation is out of range");
    }
    if (!ApplyBitmap(raw.after_null, sdk::Cell::Null(), into.after) ||
        !ApplyBitmap(raw.after_unchanged, sdk::Cell::Unchanged(), into.after) ||
        !ApplyBitmap(raw.before_null, sdk::Cell::Null(), into.before)) {
        return Malformed("a bitmap does not fit its cells");
    }
    RETURN_IF_ERROR(TakeSchema(raw.schema_id, schemas, into));
    into.event.op = static_cast<sdk::Op>(raw.op);
    into.event.xid = static_cast<uint32_t>(raw.xid);
    into.event.generation = static_cast<uint32_t>(raw.generation);
    return TakeImages(into);
}

}  // namespace millrace::codec
