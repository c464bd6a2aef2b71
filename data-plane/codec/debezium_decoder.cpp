#include "data-plane/codec/debezium_decoder.h"

#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "base/status.h"
#include "data-plane/codec/base64.h"
#include "data-plane/codec/debezium_value.h"
#include "data-plane/codec/event_decoder.h"
#include "data-plane/codec/json_text.h"
#include "millrace/v1/change_event.pb.h"

namespace millrace::codec {
namespace {

using CellTexts = google::protobuf::RepeatedPtrField<v1::DebeziumNote::CellText>;

struct RawEnvelope final {
    std::string_view before;
    std::string_view after;
    std::string_view source;
};

/// A cell while `texts` may still move.
struct PlacedCell final {
    sdk::Cell::State state = sdk::Cell::State::kNull;
    std::size_t begin = 0;
    std::size_t size = 0;
};

/// Finds the member `wanted` of an object; empty without it.
bool FindMember(std::string_view object, std::string_view wanted, std::string_view& raw) {
    return JsonReader(object).Object([&](JsonReader& in, std::string_view name) {
        std::string_view value;
        if (!in.Raw(value)) {
            return false;
        }
        if (name == wanted) {
            raw = value;
        }
        return true;
    });
}

bool ReadEnvelope(std::string_view value, RawEnvelope& envelope) {
    std::string_view payload;
    return FindMember(value, "payload", payload) &&
           JsonReader(payload).Object([&](JsonReader& in, std::string_view name) {
               std::string_view raw;
               std::string_view& place = name == "before"   ? envelope.before
                                         : name == "after"  ? envelope.after
                                         : name == "source" ? envelope.source
                                                            : raw;
               return in.Raw(place);
           });
}

bool ReadNote(std::string_view source, v1::DebeziumNote& note) {
    std::string_view member;
    std::string base64;
    std::string bytes;
    return FindMember(source, "millrace", member) && JsonReader(member).Text(base64) &&
           DecodeBase64(base64, bytes) && note.ParseFromString(bytes);
}

bool IsUnchanged(const std::string& bits, std::size_t column) {
    return column / 8 < bits.size() &&
           ((static_cast<unsigned char>(bits[column / 8]) >> (column % 8)) & 1U) != 0;
}

class RowReader final {
 public:
    RowReader(const sdk::TableSchema& schema, std::string& texts) : schema_(schema), texts_(texts) {}

    /// `noted` are texts that stand in the place of values, in column order.
    bool Read(std::string_view json, const CellTexts& noted, const std::string& unchanged,
              std::vector<PlacedCell>& cells) {
        if (json.empty() || json == "null") {
            return noted.empty() && unchanged.empty();
        }
        int next_noted = 0;
        const bool read = JsonReader(json).Object([&](JsonReader& in, std::string_view name) {
            const std::size_t column = cells.size();
            std::string_view raw;
            if (column >= schema_.columns.size() || !in.Raw(raw) || !IsName(column, name)) {
                return false;
            }
            PlacedCell& cell = cells.emplace_back();
            cell.begin = texts_.size();
            if (next_noted < noted.size() && noted[next_noted].column() == column) {
                cell.state = sdk::Cell::State::kValue;
                texts_ += noted[next_noted++].text();
            } else if (IsUnchanged(unchanged, column)) {
                cell.state = sdk::Cell::State::kUnchanged;
            } else if (raw != "null") {
                cell.state = sdk::Cell::State::kValue;
                if (!AppendCellText(schema_.columns[column], raw, texts_)) {
                    return false;
                }
            }
            cell.size = texts_.size() - cell.begin;
            return cell.size <= std::numeric_limits<uint32_t>::max();
        });
        return read && cells.size() == schema_.columns.size() && next_noted == noted.size();
    }

 private:
    bool IsName(std::size_t column, std::string_view name) const {
        // What is no UTF-8 in a name is not in the JSON either.
        std::string expected;
        if (schema_.columns[column].name == name) {
            return true;
        }
        std::string json;
        AppendJsonText(schema_.columns[column].name, json);
        return JsonReader(json).Text(expected) && expected == name;
    }

    const sdk::TableSchema& schema_;
    std::string& texts_;
};

void Place(const std::vector<PlacedCell>& placed, const std::string& texts, std::vector<sdk::Cell>& cells) {
    for (const PlacedCell& cell : placed) {
        switch (cell.state) {
            case sdk::Cell::State::kNull:
                cells.push_back(sdk::Cell::Null());
                break;
            case sdk::Cell::State::kUnchanged:
                cells.push_back(sdk::Cell::Unchanged());
                break;
            case sdk::Cell::State::kValue:
                cells.push_back(sdk::Cell::Value(std::string_view(texts).substr(cell.begin, cell.size)));
                break;
        }
    }
}

void TakeHead(const v1::ChangeRecord& head, sdk::ChangeEvent& event) {
    event.op = static_cast<sdk::Op>(head.op());
    event.position = {head.commit_lsn(), head.seq()};
    event.commit_time_us = head.commit_time_us();
    event.xid = head.xid();
    event.generation = head.generation();
}

}  // namespace

absl::Status DecodeDebezium(std::string_view value, const SchemaLookup& schemas, DecodedEvent& into) {
    Reset(into);
    RawEnvelope envelope;
    v1::DebeziumNote note;
    if (!ReadEnvelope(value, envelope) || !ReadNote(envelope.source, note)) {
        return Malformed("it is not an envelope of Debezium's form with Millrace's note in its source");
    }
    const v1::ChangeRecord& head = note.head();
    if (head.op() < v1::ChangeRecord::OP_INSERT || head.op() > v1::ChangeRecord::OP_RESYNC_CANCEL) {
        return Malformed("its operation is unknown to this version");
    }
    TakeHead(head, into.event);
    RETURN_IF_ERROR(TakeSchema(head.schema_id(), schemas, into));
    auto texts = std::make_shared<std::string>();
    std::vector<PlacedCell> after;
    std::vector<PlacedCell> before;
    RowReader rows(*into.event.schema, *texts);
    if (!rows.Read(envelope.after, note.after(), head.after_unchanged(), after) ||
        !rows.Read(envelope.before, note.before(), {}, before)) {
        return Malformed("its values do not fit the schema of " + into.event.schema->DisplayName());
    }
    Place(after, *texts, into.after);
    Place(before, *texts, into.before);
    into.texts = std::move(texts);
    return TakeImages(into);
}

}  // namespace millrace::codec
