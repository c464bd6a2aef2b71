// Records of the form debezium-json of any bytes, and the values in them: the input's first byte chooses a column's type, or
// the whole record. One that can be read is the same after it was written and read again.
#include <memory>
#include <string>

#include "base/status.h"
#include "data-plane/codec/debezium_value.h"
#include "data-plane/codec/event_codec.h"
#include "data-plane/codec/json_text.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/same_rows.h"

namespace {

using namespace millrace;

constexpr uint8_t kTypes = 19;

sdk::Column ColumnOf(uint8_t choice) {
    sdk::Column column;
    column.name = "c" + std::to_string(choice);
    column.type = static_cast<sdk::LogicalType>(choice % kTypes);
    column.element = static_cast<sdk::LogicalType>((choice / kTypes) % kTypes);
    column.source_type = choice % 2 == 0 ? "type(3)" : "type(6)";
    column.precision = choice >= 128 ? -1 : 9;
    column.scale = choice >= 128 ? -1 : choice % 5 - 1;
    return column;
}

/// A column of each type, the first one the key.
absl::StatusOr<sdk::SchemaPtr> SchemaOf(uint64_t id) {
    if (id != 1) {
        return base::MakeError(absl::StatusCode::kDataLoss, "SCHEMA_UNKNOWN", "no such schema");
    }
    auto schema = std::make_shared<sdk::TableSchema>();
    schema->id = id;
    schema->table = "t";
    for (uint8_t i = 0; i < kTypes; ++i) {
        schema->columns.push_back(ColumnOf(i));
    }
    schema->columns.front().key_ordinal = 1;
    return schema;
}

void Record(const std::string& bytes) {
    static const auto codec = codec::MakeDebeziumCodec({.name = "millrace.fuzz", .database = "fuzz"});
    codec::DecodedEvent first;
    if (!codec->Decode(bytes, SchemaOf, first).ok()) {
        return;
    }
    std::string key;
    std::string value;
    codec->EncodeAside(first.event, key, value);
    codec->Encode(first.event, key, value);
    codec::DecodedEvent second;
    fuzz::Require(codec->Decode(value, SchemaOf, second).ok(), "what was written can be read");
    fuzz::Require(second.event.op == first.event.op && second.event.position == first.event.position &&
                      second.event.commit_time_us == first.event.commit_time_us &&
                      second.event.xid == first.event.xid && second.event.generation == first.event.generation &&
                      fuzz::Same(second.event.after, first.event.after) && fuzz::Same(second.event.before, first.event.before),
                  "a change is the same after writing and reading");
}

void CellText(const sdk::Column& column, const std::string& text) {
    std::string json;
    const bool exact = codec::AppendCellValue(column, text, json);
    std::string_view raw;
    fuzz::Require(codec::JsonReader(json).Raw(raw) && raw == json, "a cell's value is one JSON value");
    std::string again;
    fuzz::Require(!exact || (codec::AppendCellText(column, json, again) && again == text), "an exact value is exact");
    again.clear();
    (void)codec::AppendCellText(column, text, again);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) {
        return 0;
    }
    const std::string bytes(reinterpret_cast<const char*>(data), size);
    // '{' and what a ChangeRecord begins with.
    if (data[0] == '{' || data[0] == 0x08) {
        Record(bytes);
    } else {
        CellText(ColumnOf(data[0]), bytes.substr(1));
    }
    return 0;
}
