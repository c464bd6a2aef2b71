/// Types and values that the table of types is made of. Not for: running anything.
#pragma once

#include <string>
#include <vector>

namespace millrace::integration {

struct TypeSample final {
    std::string type;
    /// As SQL literals without quotes; none where only the server makes values of the type.
    std::vector<std::string> values;
    /// Type at a PostgreSQL destination; empty where it is the same.
    std::string elsewhere = {};
};

const std::vector<TypeSample>& TypeSamples();

/// The user's own types, at the source and at a PostgreSQL destination.
extern const char* const kTypeDefinitions;

extern const char* const kTypesIntroduction;
extern const char* const kValuesIntroduction;

}  // namespace millrace::integration
