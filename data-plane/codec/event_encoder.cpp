#include "data-plane/codec/event_encoder.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "data-plane/codec/wire.h"

namespace millrace::codec {
namespace {

/// Longest that the fields before the images can be.
constexpr std::size_t kMaxHeadBytes = 80;
/// Tag and length of one cell or bitmap.
constexpr std::size_t kMaxPrefixBytes = 1 + kMaxVarintBytes;

struct RowShape final {
    std::size_t max_bytes = 0;
    bool has_null = false;
    bool has_unchanged = false;
};

std::size_t BitmapBytes(std::size_t cells) {
    return (cells + 7) / 8;
}

RowShape ShapeOf(sdk::RowView row) {
    RowShape shape;
    for (const sdk::Cell& cell : row) {
        shape.max_bytes += kMaxPrefixBytes + cell.size();
        shape.has_null |= cell.is_null();
        shape.has_unchanged |= cell.is_unchanged();
    }
    shape.max_bytes += 2 * (kMaxPrefixBytes + BitmapBytes(row.size()));
    return shape;
}

void PutCells(WireWriter& out, ChangeField field, sdk::RowView row) {
    for (const sdk::Cell& cell : row) {
        out.PutBytes(field, cell.is_value() ? cell.text() : std::string_view());
    }
}

void PutBitmap(WireWriter& out, ChangeField field, sdk::RowView row, sdk::Cell::State state) {
    char* const bits = out.PutSpace(field, BitmapBytes(row.size()));
    std::memset(bits, 0, BitmapBytes(row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) {
        if (row[i].state() == state) {
            bits[i / 8] = static_cast<char>(static_cast<unsigned char>(bits[i / 8]) | (1U << (i % 8)));
        }
    }
}

}  // namespace

void EncodeValue(const sdk::ChangeEvent& event, std::string& value) {
    const RowShape after = ShapeOf(event.after);
    const RowShape before = ShapeOf(event.before);
    const std::size_t needed = kMaxHeadBytes + after.max_bytes + before.max_bytes;
    // Grown without clearing first: only bytes beyond the last record's length are zeroed.
    value.resize(needed);
    WireWriter out(value.data());
    out.PutNumber(ChangeField::kOp, static_cast<uint64_t>(event.op));
    out.PutNumber(ChangeField::kCommit, event.position.commit);
    out.PutNumber(ChangeField::kSeq, event.position.seq);
    out.PutNumber(ChangeField::kCommitTime, static_cast<uint64_t>(event.commit_time_us));
    out.PutNumber(ChangeField::kXid, event.xid);
    out.PutFixed64(ChangeField::kSchemaId, event.schema->id);
    out.PutNumber(ChangeField::kGeneration, event.generation);
    PutCells(out, ChangeField::kAfter, event.after);
    if (after.has_null) {
        PutBitmap(out, ChangeField::kAfterNull, event.after, sdk::Cell::State::kNull);
    }
    if (after.has_unchanged) {
        PutBitmap(out, ChangeField::kAfterUnchanged, event.after, sdk::Cell::State::kUnchanged);
    }
    PutCells(out, ChangeField::kBefore, event.before);
    if (before.has_null) {
        PutBitmap(out, ChangeField::kBeforeNull, event.before, sdk::Cell::State::kNull);
    }
    value.resize(static_cast<std::size_t>(out.at() - value.data()));
}

}  // namespace millrace::codec
