#include "connectors/postgres/copy_reason.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "absl/strings/numbers.h"
#include "base/text.h"
#include "connectors/postgres/type_name.h"

namespace millrace::postgres {
namespace {

/// TableSchema::storage taken apart.
struct Storage final {
    std::string_view files;
    int columns_ever = 0;
};

Storage Parse(std::string_view text) {
    const size_t slash = text.find('/');
    Storage storage{.files = text.substr(0, slash)};
    if (slash == std::string_view::npos ||
        !absl::SimpleAtoi(base::ToAbsl(text.substr(slash + 1)), &storage.columns_ever)) {
        storage.columns_ever = 0;
    }
    return storage;
}

const sdk::Column* WithId(const sdk::TableSchema& schema, int source_id) {
    const auto found = std::ranges::find(schema.columns, source_id, &sdk::Column::source_id);
    return found == schema.columns.end() ? nullptr : &*found;
}

const sdk::Column* WithName(const sdk::TableSchema& schema, const std::string& name) {
    const auto found = std::ranges::find(schema.columns, name, &sdk::Column::name);
    return found == schema.columns.end() ? nullptr : &*found;
}

const std::string& Declared(const sdk::Column& column) {
    return column.declared_type.empty() ? column.source_type : column.declared_type;
}

// Of values that no row was written for, the same bytes read as another type: whether they have the same text
// and a destination's column may be altered to hold them.
bool ReadsAlike(const sdk::Column& before, const sdk::Column& after) {
    return before.declared_type == after.declared_type &&
           Fit(TypeName::Parse(before.source_type), TypeName::Parse(after.source_type)) !=
               sql::TypeFit::kClash;
}

std::string Quoted(const sdk::Column& column) {
    return base::Concat("column \"", column.name, "\"");
}

bool LostLabels(const sdk::Column& before, const sdk::Column& after) {
    return std::ranges::any_of(before.labels, [&](const std::string& label) {
        return std::ranges::find(after.labels, label) == after.labels.end();
    });
}

/// Compares two shapes column by column.
class Comparison final {
 public:
    Comparison(const sdk::TableSchema& before, const sdk::TableSchema& after)
        : before_(before),
          after_(after),
          columns_ever_(Parse(before.storage).columns_ever),
          rewritten_(before.storage.empty() || after.storage.empty() ||
                     Parse(before.storage).files != Parse(after.storage).files) {}

    [[nodiscard]] std::string Reason() const {
        for (const sdk::Column& column : after_.columns) {
            const sdk::Column* const earlier = WithId(before_, column.source_id);
            std::string reason = earlier != nullptr ? OfChanged(*earlier, column) : OfNew(column);
            if (!reason.empty()) {
                return reason;
            }
        }
        return {};
    }

 private:
    [[nodiscard]] std::string OfChanged(const sdk::Column& before, const sdk::Column& after) const {
        if (rewritten_ && (before.source_version != after.source_version || before.source_version == 0)) {
            return base::Concat(Quoted(after), " was altered and its rows rewritten");
        }
        const bool same_domain = Declared(before) == Declared(after);
        if ((!same_domain || before.source_type != after.source_type) && !ReadsAlike(before, after)) {
            return base::Concat("the type of ", Quoted(after), " was changed from ",
                                same_domain ? before.source_type : Declared(before), " to ",
                                same_domain ? after.source_type : Declared(after));
        }
        if (LostLabels(before, after)) {
            return base::Concat("a label of the type of ", Quoted(after), " was renamed");
        }
        return {};
    }

    [[nodiscard]] std::string OfNew(const sdk::Column& column) const {
        if (const sdk::Column* const namesake = WithName(before_, column.name);
            namesake != nullptr && WithId(after_, namesake->source_id) == nullptr) {
            return base::Concat(Quoted(column), " was dropped and made again");
        }
        if (column.source_id <= columns_ever_) {
            return base::Concat(Quoted(column), " was a generated one");
        }
        if (!column.fill && (rewritten_ || column.source_version == 0)) {
            return base::Concat("existing rows may have got values of their own in the new ", Quoted(column));
        }
        return {};
    }

    const sdk::TableSchema& before_;
    const sdk::TableSchema& after_;
    const int columns_ever_;
    const bool rewritten_;
};

}  // namespace

std::string CopyReason(const sdk::TableSchema& before, const sdk::TableSchema& after) {
    if (before.source_table_id != after.source_table_id) {
        return {};
    }
    if (before.append_only != after.append_only) {
        return after.append_only ? "it has no key any more" : "it has got a key";
    }
    const auto unknown = [](const sdk::TableSchema& schema) {
        return std::ranges::any_of(schema.columns, [](const sdk::Column& c) { return c.source_id == 0; });
    };
    if (unknown(after) || unknown(before)) {
        return "it was altered several times before its changes were read";
    }
    return Comparison(before, after).Reason();
}

}  // namespace millrace::postgres
