/// Cell texts as the JSON values that Debezium's defaults make of them, and back.
/// Not for: schemas (debezium_types), records (debezium_encoder, debezium_decoder).
#pragma once

#include <string>
#include <string_view>

#include "connectors/sdk/schema.h"

namespace millrace::codec {

/// What stands for a cell that the source did not send.
inline constexpr std::string_view kUnavailable = "__debezium_unavailable_value";

/// Appends the value of the text; null where the type has none for it. False: AppendCellText does not make exactly this
/// text of it again.
bool AppendCellValue(const sdk::Column& column, std::string_view text, std::string& json);
/// Appends the placeholder of the column's type; null where Debezium has none.
void AppendUnavailable(const sdk::Column& column, std::string& json);

/// Appends the text of a value that is not null; false when it is not one of the column's type, or of an array, whose
/// texts are never made of values.
bool AppendCellText(const sdk::Column& column, std::string_view json, std::string& text);

}  // namespace millrace::codec
