#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "base/status.h"
#include "data-plane/codec/event_codec.h"
#include "data-plane/codec/event_samples.h"
#include "data-plane/codec/json_text.h"

namespace millrace::codec {
namespace {

SchemaLookup Only(const sdk::SchemaPtr& schema) {
    return [schema](uint64_t id) -> absl::StatusOr<sdk::SchemaPtr> {
        return id == schema->id ? absl::StatusOr<sdk::SchemaPtr>(schema) : absl::DataLossError("unknown");
    };
}

std::unique_ptr<EventCodec> Codec() {
    return MakeDebeziumCodec({.name = "millrace.shop", .database = "shop"});
}

std::shared_ptr<sdk::TableSchema> Table() {
    auto schema = std::make_shared<sdk::TableSchema>();
    schema->source = "postgres";
    schema->schema = "public";
    schema->table = "t";
    schema->columns = {{.name = "id", .type = sdk::LogicalType::kInt32, .key_ordinal = 1}, {.name = "v"}};
    schema->id = 7;
    return schema;
}

/// The member of the payload, as it stands there.
std::string Payload(const std::string& record, std::string_view wanted) {
    std::string found;
    const auto members = [&](std::string_view object, std::string_view name) {
        std::string_view value;
        EXPECT_TRUE(JsonReader(object).Object([&](JsonReader& in, std::string_view member) {
            std::string_view raw;
            const bool read = in.Raw(raw);
            value = member == name ? raw : value;
            return read;
        }));
        return value;
    };
    return std::string(members(members(record, "payload"), wanted));
}

TEST(DebeziumCodec, DecodeOfEncodeIsTheSameEvent) {
    const auto codec = Codec();
    const auto native = MakeMillraceCodec();
    DecodedEvent decoded;
    std::string key;
    std::string value;
    EXPECT_TRUE(rc::check("Decode(Encode(e)) == e, by either codec", [&] {
        const auto sample = DrawEvent();
        codec->Encode(sample->event, key, value);
        RC_ASSERT(native->Decode(value, Only(sample->schema), decoded).ok());
        RC_ASSERT(Difference(sample->event, decoded.event) == "");
        native->Encode(sample->event, key, value);
        RC_ASSERT(codec->Decode(value, Only(sample->schema), decoded).ok());
        RC_ASSERT(Difference(sample->event, decoded.event) == "");
        RC_ASSERT(decoded.texts == nullptr);
    }));
}

TEST(DebeziumCodec, DamagedRecordsAreRefusedOrRead) {
    const auto codec = Codec();
    DecodedEvent decoded;
    std::string key;
    std::string value;
    EXPECT_TRUE(rc::check("Decode never fails otherwise than by DataLoss", [&] {
        const auto sample = DrawEvent();
        codec->Encode(sample->event, key, value);
        value.resize(*rc::gen::inRange<std::size_t>(1, value.size()));
        RC_ASSERT(absl::IsDataLoss(codec->Decode(value, Only(sample->schema), decoded)));
    }));
}

TEST(DebeziumCodec, EnvelopeAndKey) {
    const auto codec = Codec();
    const std::vector<sdk::Cell> row = {sdk::Cell::Value("1"), sdk::Cell::Unchanged()};
    sdk::ChangeEvent event;
    event.schema = Table();
    event.op = sdk::Op::kUpdate;
    event.after = row;
    std::string key;
    std::string value;
    codec->Encode(event, key, value);
    EXPECT_EQ(key, R"({"schema":{"type":"struct","fields":[{"type":"int32","optional":false,"field":"id"}],)"
                   R"("optional":false,"name":"millrace.shop.public.t.Key"},"payload":{"id":1}})");
    EXPECT_EQ(Payload(value, "before"), "null");
    EXPECT_EQ(Payload(value, "after"), R"({"id":1,"v":"__debezium_unavailable_value"})");
    EXPECT_EQ(Payload(value, "op"), "\"u\"");
    EXPECT_FALSE(codec->EncodeAside(event, key, value));
    event.op = sdk::Op::kTruncate;
    event.after = {};
    codec->Encode(event, key, value);
    EXPECT_EQ(Payload(value, "op"), "\"t\"");
    EXPECT_EQ(key, "");
}

TEST(DebeziumCodec, AKeyMoveIsADeleteAndACreate) {
    const auto codec = Codec();
    const std::vector<sdk::Cell> before = {sdk::Cell::Value("1"), sdk::Cell::Null()};
    const std::vector<sdk::Cell> after = {sdk::Cell::Value("2"), sdk::Cell::Value("x")};
    sdk::ChangeEvent event;
    event.schema = Table();
    event.op = sdk::Op::kUpdate;
    event.before = before;
    event.after = after;
    std::string key;
    std::string value;
    ASSERT_TRUE(codec->EncodeAside(event, key, value));
    EXPECT_TRUE(key.ends_with(R"("payload":{"id":1}})")) << key;
    EXPECT_EQ(Payload(value, "op"), "\"d\"");
    EXPECT_EQ(Payload(value, "before"), R"({"id":1,"v":null})");
    codec->Encode(event, key, value);
    EXPECT_TRUE(key.ends_with(R"("payload":{"id":2}})")) << key;
    EXPECT_EQ(Payload(value, "op"), "\"c\"");
    DecodedEvent decoded;
    ASSERT_TRUE(codec->Decode(value, Only(event.schema), decoded).ok());
    EXPECT_EQ(Difference(event, decoded.event), "") << "it is an update with its old key all the same";
}

TEST(DebeziumCodec, ARecordOfDebeziumItselfIsRefused) {
    DecodedEvent decoded;
    const absl::Status status = Codec()->Decode(
        R"({"schema":{},"payload":{"before":null,"after":{"id":1},"source":{"db":"x"},"op":"c"}})", Only(Table()),
        decoded);
    EXPECT_EQ(base::ReasonOf(status), "BAD_RECORD");
}

}  // namespace
}  // namespace millrace::codec
