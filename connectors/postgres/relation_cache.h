/// The schemas of the relations that one replication session has announced. Not for: queries (a resolver is
/// given).
#pragma once

#include <cstdint>
#include <functional>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "connectors/postgres/pgoutput_decoder.h"
#include "connectors/sdk/schema.h"

namespace millrace::postgres {

class RelationCache final {
 public:
    using Resolver = std::function<absl::StatusOr<sdk::SchemaPtr>(const Relation&)>;

    /// `resolver` makes the schema of a relation; it is called once for each announced relation that is then
    /// used.
    explicit RelationCache(Resolver resolver) : resolver_(std::move(resolver)) {}

    /// Takes a relation message; replaces an earlier one wholesale.
    void Put(const Relation& relation);

    /// DataLoss when the relation was never announced; errors of the resolver. Valid until the next Put.
    absl::StatusOr<const sdk::SchemaPtr*> Find(uint32_t oid);

 private:
    struct Entry final {
        Relation relation;
        sdk::SchemaPtr schema;
        bool fresh = false;
    };

    Resolver resolver_;
    std::unordered_map<uint32_t, Entry> entries_;
    // Changes of one table come in runs.
    uint32_t last_oid_ = 0;
    const Entry* last_ = nullptr;
};

}  // namespace millrace::postgres
