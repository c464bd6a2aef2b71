/// One change of one row, as views into memory that its producer owns; cells are three-valued.
/// Not for: typed values; cells stay the source's text until a destination needs them.
#pragma once

#include <compare>
#include <cstdint>
#include <span>
#include <string_view>

#include "connectors/sdk/schema.h"

namespace millrace::sdk {

/// Total order of the changes of a source: (start of the commit record, index in the transaction). Never a clock.
struct Position final {
    uint64_t commit = 0;
    uint64_t seq = 0;
    friend auto operator<=>(const Position&, const Position&) = default;
};

/// A cell: a value, NULL, or *unchanged* (the source did not send it). Unchanged is never NULL and never a value.
class Cell final {
  public:
    enum class State : uint8_t { kNull, kValue, kUnchanged };

    constexpr Cell() = default;
    static constexpr Cell Null() { return Cell(); }
    static constexpr Cell Unchanged() { return Cell(nullptr, 0, State::kUnchanged); }
    static constexpr Cell Value(std::string_view text) {
        return Cell(text.data(), static_cast<uint32_t>(text.size()), State::kValue);
    }

    [[nodiscard]] constexpr bool is_null() const { return state_ == State::kNull; }
    [[nodiscard]] constexpr bool is_value() const { return state_ == State::kValue; }
    [[nodiscard]] constexpr bool is_unchanged() const { return state_ == State::kUnchanged; }
    [[nodiscard]] constexpr State state() const { return state_; }
    /// Only of a value; asserts otherwise in debug builds, "" in release.
    [[nodiscard]] constexpr std::string_view text() const { return {data_, size_}; }
    [[nodiscard]] constexpr uint32_t size() const { return size_; }

  private:
    constexpr Cell(const char* data, uint32_t size, State state) : data_(data), size_(size), state_(state) {}

    const char* data_ = nullptr;
    uint32_t size_ = 0;
    State state_ = State::kNull;
};

/// Cells in column order.
using RowView = std::span<const Cell>;

/// Numbers are those of ChangeRecord.Op in proto/millrace/v1/change_event.proto.
enum class Op : uint8_t { kInsert = 1, kUpdate = 2, kDelete = 3, kTruncate = 4, kRead = 5, kResync = 6, kResyncEnd = 7, kResyncCancel = 8 };

/// It speaks of the table as a whole and has no row.
constexpr bool IsMarker(Op op) {
    return op == Op::kTruncate || op == Op::kResync || op == Op::kResyncEnd || op == Op::kResyncCancel;
}

/// Valid only during the call that it is handed to, unless its owner says otherwise.
struct ChangeEvent final {
    Op op = Op::kInsert;
    /// Never null.
    SchemaPtr schema;
    Position position;
    /// Microseconds since 1970-01-01 UTC.
    int64_t commit_time_us = 0;
    uint32_t xid = 0;
    uint32_t generation = 1;
    /// New row; empty for delete and markers.
    RowView after;
    /// Old key (other columns NULL) or old row; empty when the source did not send it. Always there for delete; there
    /// for update exactly when the key changed or the identity is FULL.
    RowView before;
};

}  // namespace millrace::sdk
