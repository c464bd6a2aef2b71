#include "data-plane/codec/event_samples.h"

#include <rapidcheck.h>

namespace millrace::codec {
namespace {

sdk::Cell DrawCell(EventSample& sample, bool may_be_unchanged) {
    const int kind = *rc::gen::inRange(0, may_be_unchanged ? 4 : 3);
    if (kind == 0) {
        return sdk::Cell::Null();
    }
    if (kind == 3) {
        return sdk::Cell::Unchanged();
    }
    sample.texts.push_back(*rc::gen::arbitrary<std::string>());
    return sdk::Cell::Value(sample.texts.back());
}

std::shared_ptr<sdk::TableSchema> DrawSchema() {
    auto schema = std::make_shared<sdk::TableSchema>();
    schema->schema = "public";
    schema->table = *rc::gen::arbitrary<std::string>();
    schema->columns.resize(*rc::gen::inRange<std::size_t>(0, 40));
    for (std::size_t i = 0; i < schema->columns.size(); ++i) {
        schema->columns[i].name = "c" + std::to_string(i);
        schema->columns[i].key_ordinal = i < 2 ? static_cast<int>(i) + 1 : 0;
    }
    schema->id = sdk::ComputeSchemaId(*schema);
    return schema;
}

}  // namespace

std::unique_ptr<EventSample> DrawEvent() {
    auto sample = std::make_unique<EventSample>();
    sample->schema = DrawSchema();
    sdk::ChangeEvent& event = sample->event;
    event.schema = sample->schema;
    event.op = static_cast<sdk::Op>(*rc::gen::inRange(1, 9));
    event.position = {*rc::gen::arbitrary<uint64_t>(), *rc::gen::arbitrary<uint64_t>()};
    event.commit_time_us = *rc::gen::arbitrary<int64_t>();
    event.xid = *rc::gen::arbitrary<uint32_t>();
    event.generation = *rc::gen::arbitrary<uint32_t>();
    const bool deletes = event.op == sdk::Op::kDelete;
    const bool has_after = !deletes && !sdk::IsMarker(event.op);
    const bool has_before = deletes || (event.op == sdk::Op::kUpdate && *rc::gen::arbitrary<bool>());
    for (std::size_t i = 0; i < sample->schema->columns.size(); ++i) {
        if (has_after) {
            sample->after.push_back(DrawCell(*sample, event.op == sdk::Op::kUpdate));
        }
        if (has_before) {
            sample->before.push_back(DrawCell(*sample, false));
        }
    }
    event.after = sample->after;
    event.before = sample->before;
    return sample;
}

namespace {

std::string RowDifference(const char* image, sdk::RowView a, sdk::RowView b) {
    if (a.size() != b.size()) {
        return std::string(image) + " has another number of cells";
    }
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (a[i].state() != b[i].state() || (a[i].is_value() && a[i].text() != b[i].text())) {
            return std::string(image) + " cell " + std::to_string(i);
        }
    }
    return "";
}

}  // namespace

std::string Difference(const sdk::ChangeEvent& a, const sdk::ChangeEvent& b) {
    if (a.op != b.op || a.position != b.position || a.commit_time_us != b.commit_time_us || a.xid != b.xid ||
        a.generation != b.generation || a.schema->id != b.schema->id) {
        return "a field of the head";
    }
    const std::string after = RowDifference("after", a.after, b.after);
    return after.empty() ? RowDifference("before", a.before, b.before) : after;
}

}  // namespace millrace::codec
