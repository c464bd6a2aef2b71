#include "data-plane/codec/event_codec.h"

#include <utility>

#include "data-plane/codec/debezium_encoder.h"
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

    [[nodiscard]] bool packs() const override { return true; }

    absl::Status Decode(std::string_view value, const SchemaLookup& schemas, DecodedEvent& into) override {
        return DecodeValue(value, schemas, into);
    }
};

class DebeziumCodec final : public EventCodec {
 public:
    explicit DebeziumCodec(DebeziumOrigin origin) : encoder_(std::move(origin)) {}

    void Encode(const sdk::ChangeEvent& event, std::string& key, std::string& value) override {
        encoder_.Encode(event, key, value);
    }

    bool EncodeAside(const sdk::ChangeEvent& event, std::string& key, std::string& value) override {
        return encoder_.EncodeOldKey(event, key, value);
    }

    absl::Status Decode(std::string_view value, const SchemaLookup& schemas, DecodedEvent& into) override {
        return DecodeValue(value, schemas, into);
    }

 private:
    DebeziumEncoder encoder_;
};

}  // namespace

std::unique_ptr<EventCodec> MakeMillraceCodec() {
    return std::make_unique<MillraceCodec>();
}

std::unique_ptr<EventCodec> MakeDebeziumCodec(DebeziumOrigin origin) {
    return std::make_unique<DebeziumCodec>(std::move(origin));
}

}  // namespace millrace::codec
