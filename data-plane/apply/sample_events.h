/// Events for the tests of this room, with the memory that they point into. Not for: anything but tests.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "connectors/sdk/change_event.h"

namespace millrace::apply {

/// "~" is an unchanged cell, nullopt NULL.
using SampleRow = std::vector<std::optional<std::string>>;

/// public.orders(id key, status, note, photo) and `extra` more columns "extra1", ….
sdk::SchemaPtr OrdersSchema(int extra = 0, bool append_only = false);

/// Makes events whose views live as long as it.
class EventMaker final {
 public:
    explicit EventMaker(sdk::SchemaPtr schema = OrdersSchema()) : schema_(std::move(schema)) {}

    void Use(sdk::SchemaPtr schema) { schema_ = std::move(schema); }
    void set_generation(uint32_t generation) { generation_ = generation; }

    sdk::ChangeEvent Insert(const SampleRow& after) { return Make(sdk::Op::kInsert, after, {}); }
    sdk::ChangeEvent Read(const SampleRow& after) { return Make(sdk::Op::kRead, after, {}); }
    sdk::ChangeEvent Update(const SampleRow& after) { return Make(sdk::Op::kUpdate, after, {}); }
    /// `before`: whole old row, or the key and NULLs.
    sdk::ChangeEvent Update(const SampleRow& before, const SampleRow& after) {
        return Make(sdk::Op::kUpdate, after, before);
    }
    /// Key move of a table whose key is its first column.
    sdk::ChangeEvent Move(const std::string& from, const SampleRow& after) {
        return Make(sdk::Op::kUpdate, after, KeyRow(from));
    }
    sdk::ChangeEvent Delete(const std::string& id) { return Make(sdk::Op::kDelete, {}, KeyRow(id)); }
    sdk::ChangeEvent Truncate() { return Make(sdk::Op::kTruncate, {}, {}); }
    /// kResync or kResyncEnd.
    sdk::ChangeEvent Mark(sdk::Op op) { return Make(op, {}, {}); }
    sdk::ChangeEvent Make(sdk::Op op, const SampleRow& after, const SampleRow& before);

 private:
    [[nodiscard]] SampleRow KeyRow(const std::string& id) const;
    sdk::RowView Keep(const SampleRow& row);

    sdk::SchemaPtr schema_;
    uint32_t generation_ = 1;
    uint64_t commits_ = 0;
    std::deque<std::string> texts_;
    std::deque<std::vector<sdk::Cell>> rows_;
};

}  // namespace millrace::apply
