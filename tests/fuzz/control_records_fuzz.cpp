// Records of the schema topic and of the control topic.
#include <google/protobuf/stubs/logging.h>

#include <string>

#include "data-plane/codec/event_codec.h"
#include "data-plane/publish/stream_position.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace millrace;
    const google::protobuf::LogSilencer quiet;
    fuzz::Input input(data, size);
    const uint8_t kind = input.Byte();
    if (kind % 2 == 0) {
        const auto schema = codec::DecodeSchema(input.rest());
        if (schema.ok()) {
            const auto again = codec::DecodeSchema(codec::EncodeSchema(**schema));
            fuzz::Require(again.ok() && (*again)->columns == (*schema)->columns &&
                              sdk::ComputeSchemaId(**again) == sdk::ComputeSchemaId(**schema),
                          "a schema is the same after writing and reading");
            (void)(*schema)->KeyColumns();
        }
        return 0;
    }
    publish::ControlState state;
    const std::string key = kind % 4 == 1 ? std::string(publish::kPositionKey) : std::string(input.Piece());
    if (publish::DecodeControlRecord(key, input.rest(), state).ok()) {
        for (const auto& [topic, table] : state.tables) {
            publish::ControlState again;
            fuzz::Require(publish::DecodeControlRecord(publish::TableKey(table),
                                                       publish::EncodeTableState(table), again)
                                  .ok() &&
                              again.tables.contains(topic),
                          "a table's state is the same after writing and reading");
        }
    }
    return 0;
}
