/// Notices that a table's records have another shape than those before. Not for: what a destination makes of
/// it.
#pragma once

#include "connectors/sdk/schema.h"
#include "data-plane/events/event_log.h"
#include "data-plane/publish/stream_position.h"

namespace millrace::publish {

/// Makes `schema` the one of the table's last record and records the change of columns, if there is one. True
/// when `table` has changed and must be written with the record. The same change at the same position has the
/// same event id however often it is noticed.
bool NoteSchema(TableState& table, const sdk::SchemaPtr& schema, const sdk::Position& position,
                const events::Recorder& recorder);

}  // namespace millrace::publish
