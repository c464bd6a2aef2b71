/// Change → bytes of ChangeRecord. Not for: keys (record_key.cpp), reading them back (event_decoder.h).
#pragma once

#include <string>

#include "connectors/sdk/change_event.h"

namespace millrace::codec {

/// Replaces `value`; its memory is reused.
void EncodeValue(const sdk::ChangeEvent& event, std::string& value);

/// Key of the row that the record is about; replaces `key`.
void EncodeEventKey(const sdk::ChangeEvent& event, std::string& key);

}  // namespace millrace::codec
