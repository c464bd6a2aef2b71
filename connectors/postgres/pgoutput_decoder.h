/// pgoutput protocol version 1: bytes of one message into its fields, without copying and without I/O.
/// Not for: framing (replication_stream.h), what a message means (change_assembler.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "connectors/sdk/change_event.h"

namespace millrace::postgres {

/// One column of a relation as it was at this point of the log.
struct RelationColumn final {
    std::string name;
    uint32_t type_oid = 0;
    int32_t typmod = -1;
    /// Part of the replica identity; under identity FULL every column is.
    bool key = false;

    friend bool operator==(const RelationColumn&, const RelationColumn&) = default;
};

struct Relation final {
    uint32_t oid = 0;
    std::string schema;
    std::string table;
    /// As pg_class.relreplident: 'd', 'n', 'f' or 'i'.
    char identity = 'd';
    std::vector<RelationColumn> columns;

    friend bool operator==(const Relation&, const Relation&) = default;
};

/// A decoded message. Reused from one message to the next so that nothing is allocated per change; only the
/// fields of `kind` are meaningful. Cells and views point into the bytes that were decoded.
struct PgoutputMessage final {
    enum class Kind : char {
        kBegin = 'B',
        kCommit = 'C',
        kOrigin = 'O',
        kRelation = 'R',
        kType = 'Y',
        kInsert = 'I',
        kUpdate = 'U',
        kDelete = 'D',
        kTruncate = 'T',
        kMessage = 'M',
    };
    enum class OldTuple : uint8_t { kNone, kKey, kRow };

    Kind kind = Kind::kBegin;

    /// B: start of the commit record; C: the same; M: place of the message.
    uint64_t lsn = 0;
    /// C.
    uint64_t end_lsn = 0;
    /// B and C: microseconds since 1970-01-01 UTC.
    int64_t commit_time_us = 0;
    /// B.
    uint32_t xid = 0;

    /// R.
    Relation relation;

    /// I, U, D.
    uint32_t relation_oid = 0;
    /// I, U.
    std::vector<sdk::Cell> new_row;
    /// U, D.
    OldTuple old_tuple = OldTuple::kNone;
    std::vector<sdk::Cell> old_row;

    /// T.
    std::vector<uint32_t> truncated;

    /// M.
    bool transactional = false;
    std::string_view prefix;
    std::string_view content;
};

/// DataLoss when the bytes are not one whole message of version 1: the stream cannot be trusted any more.
absl::Status DecodePgoutput(std::string_view bytes, PgoutputMessage& message);

/// Microseconds between 1970-01-01 and 2000-01-01, where PostgreSQL's clock starts.
inline constexpr int64_t kPostgresEpochUs = 946'684'800'000'000;

}  // namespace millrace::postgres
