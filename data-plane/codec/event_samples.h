/// Random changes for the codec's property tests. Not for: production code.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "connectors/sdk/change_event.h"

namespace millrace::codec {

/// An event together with everything that its views point to.
struct EventSample final {
    std::shared_ptr<sdk::TableSchema> schema;
    /// Stable addresses for the cells' texts.
    std::deque<std::string> texts;
    std::vector<sdk::Cell> after;
    std::vector<sdk::Cell> before;
    sdk::ChangeEvent event;
};

/// Drawn by rapidcheck; to be called inside a property.
std::unique_ptr<EventSample> DrawEvent();

/// "" when equal in every cell and field, else what differs.
std::string Difference(const sdk::ChangeEvent& a, const sdk::ChangeEvent& b);

}  // namespace millrace::codec
