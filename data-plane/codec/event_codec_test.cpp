#include "data-plane/codec/event_codec.h"

#include <rapidcheck.h>

#include "base/status.h"
#include "data-plane/codec/event_samples.h"
#include "gtest/gtest.h"
#include "millrace/v1/change_event.pb.h"

namespace millrace::codec {
namespace {

SchemaLookup Only(const sdk::SchemaPtr& schema) {
    return [schema](uint64_t id) -> absl::StatusOr<sdk::SchemaPtr> {
        if (id != schema->id) {
            return base::MakeError(absl::StatusCode::kDataLoss, "SCHEMA_UNKNOWN", "no such schema");
        }
        return schema;
    };
}

bool Bit(const std::string& bits, int i) {
    const auto byte = static_cast<std::size_t>(i / 8);
    return byte < bits.size() && ((static_cast<unsigned char>(bits[byte]) >> (i % 8)) & 1) != 0;
}

/// The same change in the generated class, made field by field.
v1::ChangeRecord ToGenerated(const sdk::ChangeEvent& event) {
    v1::ChangeRecord record;
    record.set_op(static_cast<v1::ChangeRecord::Op>(event.op));
    record.set_commit_lsn(event.position.commit);
    record.set_seq(event.position.seq);
    record.set_commit_time_us(event.commit_time_us);
    record.set_xid(event.xid);
    record.set_schema_id(event.schema->id);
    record.set_generation(event.generation);
    const auto mark = [](std::string& bits, std::size_t i, std::size_t cells) {
        bits.resize((cells + 7) / 8);
        bits[i / 8] = static_cast<char>(bits[i / 8] | (1 << (i % 8)));
    };
    for (std::size_t i = 0; i < event.after.size(); ++i) {
        const sdk::Cell& cell = event.after[i];
        record.add_after(cell.is_value() ? std::string(cell.text()) : "");
        if (cell.is_null()) {
            mark(*record.mutable_after_null(), i, event.after.size());
        } else if (cell.is_unchanged()) {
            mark(*record.mutable_after_unchanged(), i, event.after.size());
        }
    }
    for (std::size_t i = 0; i < event.before.size(); ++i) {
        const sdk::Cell& cell = event.before[i];
        record.add_before(cell.is_value() ? std::string(cell.text()) : "");
        if (cell.is_null()) {
            mark(*record.mutable_before_null(), i, event.before.size());
        }
    }
    return record;
}

TEST(EventCodec, DecodeOfEncodeIsTheSameEvent) {
    const auto codec = MakeMillraceCodec();
    // One of each for all cases: what an earlier event left behind must not show.
    DecodedEvent decoded;
    std::string key;
    std::string value;
    EXPECT_TRUE(rc::check("Decode(Encode(e)) == e", [&] {
        const auto sample = DrawEvent();
        codec->Encode(sample->event, key, value);
        const absl::Status status = codec->Decode(value, Only(sample->schema), decoded);
        RC_ASSERT(status.ok());
        RC_ASSERT(Difference(sample->event, decoded.event) == "");
    }));
}

TEST(EventCodec, GeneratedClassWritesTheSameBytes) {
    const auto codec = MakeMillraceCodec();
    std::string key;
    std::string value;
    EXPECT_TRUE(rc::check("Encode(e) == generated(e)", [&] {
        const auto sample = DrawEvent();
        codec->Encode(sample->event, key, value);
        RC_ASSERT(value == ToGenerated(sample->event).SerializeAsString());
    }));
}

TEST(EventCodec, GeneratedClassReadsOurBytes) {
    const auto codec = MakeMillraceCodec();
    std::string key;
    std::string value;
    EXPECT_TRUE(rc::check("generated.Parse(Encode(e)) == e", [&] {
        const auto sample = DrawEvent();
        const sdk::ChangeEvent& event = sample->event;
        codec->Encode(event, key, value);
        v1::ChangeRecord record;
        RC_ASSERT(record.ParseFromString(value));
        RC_ASSERT(static_cast<int>(record.op()) == static_cast<int>(event.op));
        RC_ASSERT(record.commit_lsn() == event.position.commit);
        RC_ASSERT(record.seq() == event.position.seq);
        RC_ASSERT(record.schema_id() == event.schema->id);
        RC_ASSERT(static_cast<std::size_t>(record.after_size()) == event.after.size());
        for (int i = 0; i < record.after_size(); ++i) {
            const sdk::Cell& cell = event.after[static_cast<std::size_t>(i)];
            RC_ASSERT(Bit(record.after_null(), i) == cell.is_null());
            RC_ASSERT(Bit(record.after_unchanged(), i) == cell.is_unchanged());
            RC_ASSERT(record.after(i) == (cell.is_value() ? cell.text() : ""));
        }
    }));
}

TEST(EventCodec, DecoderReadsTheGeneratedClass) {
    const auto codec = MakeMillraceCodec();
    DecodedEvent decoded;
    EXPECT_TRUE(rc::check("Decode(generated(e)) == e", [&] {
        const auto sample = DrawEvent();
        v1::ChangeRecord record = ToGenerated(sample->event);
        // A field that a later version may add is passed over.
        record.GetReflection()->MutableUnknownFields(&record)->AddLengthDelimited(900, "later");
        record.GetReflection()->MutableUnknownFields(&record)->AddVarint(901, 7);
        const std::string bytes = record.SerializeAsString();
        RC_ASSERT(codec->Decode(bytes, Only(sample->schema), decoded).ok());
        RC_ASSERT(Difference(sample->event, decoded.event) == "");
    }));
}

TEST(EventCodec, SteadyShapeKeepsItsMemory) {
    auto schema = std::make_shared<sdk::TableSchema>();
    schema->id = 7;
    schema->columns.resize(3);
    const std::vector<sdk::Cell> row = {sdk::Cell::Value("1"), sdk::Cell::Null(), sdk::Cell::Value("abc")};
    sdk::ChangeEvent event;
    event.schema = schema;
    event.after = row;
    const auto codec = MakeMillraceCodec();
    std::string key;
    std::string value;
    codec->Encode(event, key, value);
    DecodedEvent decoded;
    ASSERT_TRUE(codec->Decode(value, Only(schema), decoded).ok());
    const sdk::Cell* cells = decoded.after.data();
    const char* bytes = value.data();
    const SchemaLookup never = [](uint64_t) -> absl::StatusOr<sdk::SchemaPtr> {
        return absl::InternalError("the schema of the event before serves");
    };
    for (int i = 0; i < 100; ++i) {
        codec->Encode(event, key, value);
        ASSERT_TRUE(codec->Decode(value, never, decoded).ok());
    }
    EXPECT_EQ(decoded.after.data(), cells);
    EXPECT_EQ(value.data(), bytes);
    EXPECT_EQ(decoded.after[2].text().data() >= value.data(), true) << "cells are views, not copies";
}

TEST(EventCodec, UnknownSchemaIsTheLookupsError) {
    auto schema = std::make_shared<sdk::TableSchema>();
    schema->id = 7;
    sdk::ChangeEvent event;
    event.schema = schema;
    event.op = sdk::Op::kTruncate;
    std::string key;
    std::string value;
    MakeMillraceCodec()->Encode(event, key, value);
    auto other = std::make_shared<sdk::TableSchema>();
    other->id = 8;
    DecodedEvent decoded;
    const absl::Status status = MakeMillraceCodec()->Decode(value, Only(other), decoded);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_EQ(base::ReasonOf(status), "SCHEMA_UNKNOWN");
}

TEST(RecordKey, CellsInKeyOrderWithLengths) {
    sdk::TableSchema schema;
    schema.columns.resize(3);
    schema.columns[0].key_ordinal = 2;
    schema.columns[2].key_ordinal = 1;
    const std::vector<sdk::Cell> row = {sdk::Cell::Value("ab"), sdk::Cell::Value("x"), sdk::Cell::Value("c")};
    std::string key = "left from before";
    EncodeKey(schema, row, key);
    EXPECT_EQ(key, std::string("\x01"
                               "c\x02"
                               "ab"));
    const std::vector<sdk::Cell> with_null = {sdk::Cell::Null(), sdk::Cell::Null(), sdk::Cell::Value("c")};
    EncodeKey(schema, with_null, key);
    EXPECT_EQ(key, std::string("\x01"
                               "c\x00",
                               3));
    schema.append_only = true;
    EncodeKey(schema, row, key);
    EXPECT_EQ(key, "");
}

TEST(RecordKey, OfTheRowThatTheRecordIsAbout) {
    auto schema = std::make_shared<sdk::TableSchema>();
    schema->columns.resize(2);
    schema->columns[0].key_ordinal = 1;
    const std::vector<sdk::Cell> old_row = {sdk::Cell::Value("old"), sdk::Cell::Null()};
    const std::vector<sdk::Cell> new_row = {sdk::Cell::Value("new"), sdk::Cell::Value("v")};
    const std::vector<sdk::Cell> unsent_key = {sdk::Cell::Unchanged(), sdk::Cell::Value("v")};
    const auto codec = MakeMillraceCodec();
    std::string key;
    std::string value;
    sdk::ChangeEvent event;
    event.schema = schema;
    event.op = sdk::Op::kDelete;
    event.before = old_row;
    codec->Encode(event, key, value);
    EXPECT_EQ(key, "\x03old");
    event.op = sdk::Op::kUpdate;
    event.after = new_row;
    codec->Encode(event, key, value);
    EXPECT_EQ(key, "\x03new");
    event.after = unsent_key;
    codec->Encode(event, key, value);
    EXPECT_EQ(key, "\x03old") << "a key cell that was not sent again is in the old row";
}

}  // namespace
}  // namespace millrace::codec
