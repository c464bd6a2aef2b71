// Change records of any bytes; one that can be read is the same after it was written and read again.
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "data-plane/codec/change_pack.h"
#include "data-plane/codec/event_codec.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/same_rows.h"

namespace {

using namespace millrace;

/// Schema n has n columns, of which the first two are the key.
absl::StatusOr<sdk::SchemaPtr> SchemaOf(uint64_t id) {
    if (id > 12) {
        return base::MakeError(absl::StatusCode::kDataLoss, "SCHEMA_UNKNOWN", "no such schema");
    }
    auto schema = std::make_shared<sdk::TableSchema>();
    schema->id = id;
    schema->table = "t";
    schema->append_only = id % 4 == 0;
    for (uint64_t i = 0; i < id; ++i) {
        sdk::Column& column = schema->columns.emplace_back();
        column.name = "c" + std::to_string(i);
        column.key_ordinal = schema->append_only || i > 1 ? 0 : static_cast<int>(i) + 1;
    }
    return schema;
}

std::vector<std::string_view> ReadPack(std::string_view value) {
    codec::PackReader reader(value);
    std::vector<std::string_view> changes;
    std::string_view change;
    while (reader.Next(change)) {
        changes.push_back(change);
    }
    return changes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const auto codec = codec::MakeMillraceCodec();
    const std::string bytes(reinterpret_cast<const char*>(data), size);
    const std::vector<std::string_view> changes = ReadPack(bytes);
    std::string again;
    for (const std::string_view change : changes) {
        codec::AppendToPack(change, again);
    }
    fuzz::Require(ReadPack(again) == changes || changes.empty(), "the changes of a pack are the same after writing and reading");
    codec::DecodedEvent first;
    if (!codec->Decode(bytes, SchemaOf, first).ok()) {
        return 0;
    }
    const sdk::ChangeEvent& event = first.event;
    const size_t columns = event.schema->columns.size();
    fuzz::Require(event.after.empty() || event.after.size() == columns, "a new row has every column");
    fuzz::Require(event.before.empty() || event.before.size() == columns, "an old row has every column");
    std::string key;
    std::string value;
    codec->Encode(event, key, value);
    codec::DecodedEvent second;
    fuzz::Require(codec->Decode(value, SchemaOf, second).ok(), "what was written can be read");
    fuzz::Require(second.event.op == event.op && second.event.position == event.position &&
                      second.event.commit_time_us == event.commit_time_us && second.event.xid == event.xid &&
                      second.event.generation == event.generation && fuzz::Same(second.event.after, event.after) &&
                      fuzz::Same(second.event.before, event.before),
                  "a change is the same after writing and reading");
    return 0;
}
