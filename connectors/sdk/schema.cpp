#include "connectors/sdk/schema.h"

#include <algorithm>
#include <string_view>

namespace millrace::sdk {
namespace {

// Every field is either eight little-endian bytes or such a length followed by bytes: no two shapes share a
// form.
class Fnv1a final {
 public:
    void Add(uint64_t value) {
        for (int i = 0; i < 8; ++i) {
            Byte(static_cast<unsigned char>(value >> (8 * i)));
        }
    }
    void Add(int value) { Add(static_cast<uint64_t>(static_cast<int64_t>(value))); }
    void Add(bool value) { Add(uint64_t{value}); }
    void Add(std::string_view text) {
        Add(uint64_t{text.size()});
        for (const char c : text) {
            Byte(static_cast<unsigned char>(c));
        }
    }
    [[nodiscard]] uint64_t value() const { return hash_; }

 private:
    void Byte(unsigned char byte) {
        hash_ ^= byte;
        hash_ *= 0x100000001b3ULL;
    }

    uint64_t hash_ = 0xcbf29ce484222325ULL;
};

}  // namespace

std::vector<int> TableSchema::KeyColumns() const {
    std::vector<int> key;
    if (append_only) {
        return key;
    }
    for (size_t i = 0; i < columns.size(); ++i) {
        if (columns[i].key_ordinal > 0) {
            key.push_back(static_cast<int>(i));
        }
    }
    std::stable_sort(key.begin(), key.end(), [this](int a, int b) {
        return columns[static_cast<size_t>(a)].key_ordinal < columns[static_cast<size_t>(b)].key_ordinal;
    });
    return key;
}

uint64_t ComputeSchemaId(const TableSchema& schema) {
    Fnv1a hash;
    hash.Add(std::string_view(schema.source));
    hash.Add(std::string_view(schema.schema));
    hash.Add(std::string_view(schema.table));
    hash.Add(schema.source_table_id);
    hash.Add(uint64_t{schema.columns.size()});
    for (const Column& column : schema.columns) {
        hash.Add(std::string_view(column.name));
        hash.Add(std::string_view(column.source_type));
        hash.Add(static_cast<int>(column.type));
        hash.Add(static_cast<int>(column.element));
        hash.Add(column.precision);
        hash.Add(column.scale);
        hash.Add(column.nullable);
        hash.Add(column.key_ordinal);
        hash.Add(column.source_id);
        // Shapes from before these fields keep their ids; no integer field is ever as large as their marks.
        if (!column.declared_type.empty()) {
            hash.Add(~uint64_t{0} - 1);
            hash.Add(std::string_view(column.declared_type));
        }
        if (column.fill) {
            hash.Add(~uint64_t{0} - 2);
            hash.Add(std::string_view(*column.fill));
        }
        if (!column.labels.empty()) {
            hash.Add(~uint64_t{0} - 3);
            hash.Add(uint64_t{column.labels.size()});
            for (const std::string& label : column.labels) {
                hash.Add(std::string_view(label));
            }
        }
    }
    hash.Add(schema.append_only);
    return hash.value();
}

}  // namespace millrace::sdk
