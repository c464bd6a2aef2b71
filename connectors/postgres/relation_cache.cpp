#include "connectors/postgres/relation_cache.h"

#include <utility>

#include "base/status.h"
#include "base/text.h"

namespace millrace::postgres {
namespace {

bool SameEverywhere(const sdk::TableSchema& a, const sdk::TableSchema& b) {
    return a.id == b.id && a.storage == b.storage && a.behind == b.behind && a.columns == b.columns;
}

}  // namespace

void RelationCache::Put(const Relation& relation) {
    Entry& entry = entries_[relation.oid];
    entry.relation = relation;
    entry.fresh = false;
    last_ = nullptr;
}

absl::StatusOr<const sdk::SchemaPtr*> RelationCache::Find(uint32_t oid) {
    if (last_ != nullptr && last_oid_ == oid) {
        return &last_->schema;
    }
    const auto found = entries_.find(oid);
    if (found == entries_.end()) {
        return base::MakeError(
            absl::StatusCode::kDataLoss, "PGOUTPUT_RELATION",
            base::Concat("the replication stream names relation ", oid, ", which it never described"),
            "Restart the pipeline.");
    }
    Entry& entry = found->second;
    if (!entry.fresh) {
        ASSIGN_OR_RETURN(sdk::SchemaPtr schema, resolver_(entry.relation));
        // Announced again without a difference: keep the pointer that downstream already knows.
        if (!entry.schema || !SameEverywhere(*entry.schema, *schema)) {
            entry.schema = std::move(schema);
        }
        entry.fresh = true;
    }
    last_oid_ = oid;
    last_ = &entry;
    return &entry.schema;
}

}  // namespace millrace::postgres
