/// Names of PostgreSQL types, in the spelling of format_type(): which ones are replicated as they are, and
/// how one suits another. Not for: values, asking a server (sql_session).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "connectors/sdk/schema.h"
#include "connectors/sdk/sql/dialect.h"

namespace millrace::postgres {

/// "timestamp(3) with time zone[]" = base "timestamp with time zone", modifiers {3}, array.
struct TypeName final {
    std::string base;
    std::vector<int> modifiers;
    bool array = false;

    static TypeName Parse(std::string_view text);
    [[nodiscard]] std::string ToString() const;
    friend bool operator==(const TypeName&, const TypeName&) = default;
};

/// Whether every server has this type and reads the text that another server wrote under the settings of our
/// sessions. Values that name objects (regclass, say) are read where an object of that name exists.
bool IsPortable(const TypeName& type);

/// Types that exist everywhere but whose text only the server that wrote it understands, or none at all.
bool IsServerBound(const TypeName& type);

/// What a column of another kind of source becomes.
TypeName TypeOf(const sdk::Column& column);

/// Whether a column of type `existing` suits values of type `wanted`.
sql::TypeFit Fit(const TypeName& existing, const TypeName& wanted);

}  // namespace millrace::postgres
