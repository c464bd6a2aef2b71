/// A table as a source has it, changed at random, with the event that the source would send for each change.
/// Not for: anything but tests.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "data-plane/apply/sample_events.h"

namespace millrace::apply {

class SourceModel final {
 public:
    enum class Change { kInsert, kRead, kDelete, kMove, kTruncate, kUpdate };

    /// `full_identity`: old rows are sent whole. `stamped`: every change gives the row's status a higher
    /// number.
    explicit SourceModel(bool full_identity, bool stamped = false, sdk::SchemaPtr schema = OrdersSchema())
        : full_identity_(full_identity), stamped_(stamped), make_(std::move(schema)) {}

    /// Nullopt when the change fits no row. `cells`: 6 random bits. The event lives as long as the model.
    std::optional<sdk::ChangeEvent> Make(Change change, int key, int other_key, int cells);

    [[nodiscard]] const std::map<std::string, SampleRow>& rows() const { return rows_; }
    EventMaker& events() { return make_; }

 private:
    std::optional<std::string> Fresh() { return "v" + std::to_string(++values_); }
    sdk::ChangeEvent Put(sdk::Op op, const std::string& id, int cells);
    sdk::ChangeEvent Delete(const std::string& id);
    sdk::ChangeEvent Update(const std::string& from, const std::string& to, int cells);

    bool full_identity_;
    bool stamped_;
    EventMaker make_;
    std::map<std::string, SampleRow> rows_;
    int values_ = 0;
};

}  // namespace millrace::apply
