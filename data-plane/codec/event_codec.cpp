#include "data-plane/codec/event_codec.h"

#include "data-plane/codec/event_decoder.h"
#include "data-plane/codec/event_encoder.h"

namespace millrace::codec {
namespace {

class MillraceCodec final : public EventCodec {
 public:
    void Encode(const sdk::ChangeEvent& event, std::string& key, std::string& value) override {
        EncodeEventKey(event, key);
        EncodeValue(event, value);
    }

    absl::Status Decode(std::string_view value, const SchemaLookup& schemas, DecodedEvent& into) override {
        return DecodeValue(value, schemas, into);
    }
};

}  // namespace

std::unique_ptr<EventCodec> MakeMillraceCodec() {
    return std::make_unique<MillraceCodec>();
}

}  // namespace millrace::codec
