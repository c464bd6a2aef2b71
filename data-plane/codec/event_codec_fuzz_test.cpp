#include <rapidcheck.h>

#include <random>

#include "base/status.h"
#include "data-plane/codec/event_codec.h"
#include "data-plane/codec/event_samples.h"
#include "gtest/gtest.h"

namespace millrace::codec {
namespace {

/// A schema of `columns` columns under whatever id the bytes name.
SchemaLookup Any(std::size_t columns) {
    return [columns](uint64_t id) -> absl::StatusOr<sdk::SchemaPtr> {
        auto schema = std::make_shared<sdk::TableSchema>();
        schema->id = id;
        schema->columns.resize(columns);
        return schema;
    };
}

/// Bytes either decode to an event whose every cell can be read, or are DataLoss; nothing else.
void CheckSound(const absl::Status& status, const DecodedEvent& decoded) {
    if (!status.ok()) {
        ASSERT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
        return;
    }
    std::size_t bytes = 0;
    for (const sdk::RowView row : {decoded.event.after, decoded.event.before}) {
        for (const sdk::Cell& cell : row) {
            if (cell.is_value()) {
                for (const char c : cell.text()) {
                    bytes += static_cast<unsigned char>(c);
                }
            }
        }
    }
    volatile std::size_t sink = bytes;  // Keeps the reads, which a sanitizer is to see.
    (void)sink;
}

TEST(EventCodecFuzz, RandomBytes) {
    std::mt19937 random(20240607);
    const auto codec = MakeMillraceCodec();
    DecodedEvent decoded;
    int refused = 0;
    for (int round = 0; round < 200'000; ++round) {
        std::string bytes(random() % 64, '\0');
        for (char& c : bytes) {
            c = static_cast<char>(random());
        }
        const absl::Status status = codec->Decode(bytes, Any(random() % 4), decoded);
        refused += status.ok() ? 0 : 1;
        CheckSound(status, decoded);
    }
    EXPECT_GT(refused, 190'000) << "random bytes are hardly ever a record";
}

TEST(EventCodecFuzz, DamagedRecords) {
    std::mt19937 random(20240608);
    const auto codec = MakeMillraceCodec();
    EXPECT_TRUE(rc::check("damaged bytes are refused or sound", [&] {
        const auto sample = DrawEvent();
        std::string key;
        std::string value;
        codec->Encode(sample->event, key, value);
        for (int round = 0; round < 200; ++round) {
            std::string damaged = value;
            if (round % 2 == 0 && !damaged.empty()) {
                damaged[random() % damaged.size()] = static_cast<char>(random());
            } else {
                damaged.resize(random() % (damaged.size() + 1));
            }
            DecodedEvent decoded;
            CheckSound(codec->Decode(damaged, Any(sample->schema->columns.size()), decoded), decoded);
        }
    }));
}

absl::Status DecodeBytes(std::string_view bytes, std::size_t columns) {
    DecodedEvent decoded;
    return MakeMillraceCodec()->Decode(bytes, Any(columns), decoded);
}

TEST(EventCodecFuzz, NamedDamages) {
    using std::string_view_literals::operator""sv;
    EXPECT_TRUE(DecodeBytes("\x08\x01\x42\x00"sv, 1).ok()) << "the record that the others damage";
    const std::string_view cases[] = {
        ""sv,                                                      // no operation
        "\x08\x09\x42\x00"sv,                                      // unknown operation
        "\x08\x01\x42\x05x"sv,                                     // cell beyond the end
        "\x08\x01\x42\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"sv,  // absurd length
        "\x08\x01\x42\x00\x42\x00"sv,                              // more cells than columns
        "\x08\x01"sv,                                              // no cells
        "\x08\x01\x42\x01x\x4a\x01\x01"sv,                         // a NULL cell with a value
        "\x08\x01\x42\x00\x4a\x01\x02"sv,                          // a NULL bit beyond the cells
        "\x08\x01\x42\x00\x4a\x01\x01\x52\x01\x01"sv,              // NULL and unchanged at once
        "\x0a\x01\x01\x42\x00"sv,                                  // operation as bytes
        "\x08\x03"sv,                                              // delete without an old key
        "\x08\x04\x42\x00"sv,                                      // truncate with a row
        "\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"sv,      // varint without end
        "\x08\x01\x42\x00\x00\x00"sv,                              // field number zero
        "\x08\x01\x42\x00\xeb\x07"sv,                              // group
    };
    for (const std::string_view bytes : cases) {
        const absl::Status status = DecodeBytes(bytes, 1);
        EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << testing::PrintToString(bytes);
        EXPECT_EQ(base::ReasonOf(status), "BAD_RECORD");
    }
}

}  // namespace
}  // namespace millrace::codec
