#include "connectors/postgres/pgoutput_decoder.h"

#include "base/status.h"
#include "base/text.h"
#include "connectors/postgres/byte_reader.h"

namespace millrace::postgres {
namespace {

using Kind = PgoutputMessage::Kind;
using OldTuple = PgoutputMessage::OldTuple;

// Name and type of a column take at least this many bytes; bounds what a corrupt count can make us allocate.
constexpr size_t kSmallestColumn = 10;

absl::Status Malformed(std::string_view what) {
    return base::MakeError(
        absl::StatusCode::kDataLoss, "PGOUTPUT_MALFORMED",
        base::Concat("the replication stream carries a malformed ", what),
        "Restart the pipeline; if it happens again, check the network path and the server version.");
}

// Unsigned, because a corrupt time may overflow.
int64_t ReadTime(ByteReader& reader) {
    return static_cast<int64_t>(reader.U64() + static_cast<uint64_t>(kPostgresEpochUs));
}

bool ReadTuple(ByteReader& reader, std::vector<sdk::Cell>& cells) {
    const uint16_t count = reader.U16();
    cells.clear();
    for (uint16_t i = 0; i < count && reader.ok(); ++i) {
        switch (reader.U8()) {
            case 'n':
                cells.push_back(sdk::Cell::Null());
                break;
            case 'u':
                cells.push_back(sdk::Cell::Unchanged());
                break;
            case 't':
                cells.push_back(sdk::Cell::Value(reader.Bytes(reader.U32())));
                break;
            default:
                return false;
        }
    }
    return reader.ok();
}

bool ReadRelation(ByteReader& reader, Relation& relation) {
    relation.oid = reader.U32();
    relation.schema = reader.CString();
    if (relation.schema.empty()) {
        relation.schema = "pg_catalog";
    }
    relation.table = reader.CString();
    relation.identity = static_cast<char>(reader.U8());
    const uint16_t count = reader.U16();
    if (!reader.ok() || count * kSmallestColumn > reader.rest().size()) {
        return false;
    }
    relation.columns.clear();
    relation.columns.resize(count);
    for (RelationColumn& column : relation.columns) {
        column.key = (reader.U8() & 1U) != 0;
        column.name = reader.CString();
        column.type_oid = reader.U32();
        column.typmod = reader.I32();
    }
    return reader.ok();
}

bool ReadChange(ByteReader& reader, PgoutputMessage& message) {
    message.relation_oid = reader.U32();
    message.old_tuple = OldTuple::kNone;
    message.old_row.clear();
    message.new_row.clear();
    char tag = static_cast<char>(reader.U8());
    if (message.kind != Kind::kInsert && (tag == 'K' || tag == 'O')) {
        message.old_tuple = tag == 'K' ? OldTuple::kKey : OldTuple::kRow;
        if (!ReadTuple(reader, message.old_row)) {
            return false;
        }
        if (message.kind == Kind::kDelete) {
            return true;
        }
        tag = static_cast<char>(reader.U8());
    }
    if (message.kind == Kind::kDelete || tag != 'N' || !ReadTuple(reader, message.new_row)) {
        return false;
    }
    return message.old_row.empty() || message.old_row.size() == message.new_row.size();
}

bool ReadTruncate(ByteReader& reader, std::vector<uint32_t>& oids) {
    const uint32_t count = reader.U32();
    reader.U8();
    oids.clear();
    if (!reader.ok() || count > reader.rest().size() / sizeof(uint32_t)) {
        return false;
    }
    for (uint32_t i = 0; i < count; ++i) {
        oids.push_back(reader.U32());
    }
    return true;
}

bool ReadBody(ByteReader& reader, PgoutputMessage& message) {
    switch (message.kind) {
        case Kind::kBegin:
            message.lsn = reader.U64();
            message.commit_time_us = ReadTime(reader);
            message.xid = reader.U32();
            return true;
        case Kind::kCommit:
            reader.U8();
            message.lsn = reader.U64();
            message.end_lsn = reader.U64();
            message.commit_time_us = ReadTime(reader);
            return true;
        case Kind::kOrigin:
            message.lsn = reader.U64();
            reader.CString();
            return true;
        case Kind::kRelation:
            return ReadRelation(reader, message.relation);
        case Kind::kType:
            reader.U32();
            reader.CString();
            reader.CString();
            return true;
        case Kind::kInsert:
        case Kind::kUpdate:
        case Kind::kDelete:
            return ReadChange(reader, message);
        case Kind::kTruncate:
            return ReadTruncate(reader, message.truncated);
        case Kind::kMessage:
            message.transactional = (reader.U8() & 1U) != 0;
            message.lsn = reader.U64();
            message.prefix = reader.CString();
            message.content = reader.Bytes(reader.U32());
            return true;
    }
    return false;
}

std::string_view NameOf(Kind kind) {
    switch (kind) {
        case Kind::kBegin:
            return "BEGIN";
        case Kind::kCommit:
            return "COMMIT";
        case Kind::kOrigin:
            return "ORIGIN";
        case Kind::kRelation:
            return "RELATION";
        case Kind::kType:
            return "TYPE";
        case Kind::kInsert:
            return "INSERT";
        case Kind::kUpdate:
            return "UPDATE";
        case Kind::kDelete:
            return "DELETE";
        case Kind::kTruncate:
            return "TRUNCATE";
        case Kind::kMessage:
            return "MESSAGE";
    }
    return "message of unknown kind";
}

}  // namespace

absl::Status DecodePgoutput(std::string_view bytes, PgoutputMessage& message) {
    ByteReader reader(bytes);
    message.kind = static_cast<Kind>(reader.U8());
    if (!ReadBody(reader, message) || !reader.done()) {
        return Malformed(NameOf(message.kind));
    }
    return absl::OkStatus();
}

}  // namespace millrace::postgres
