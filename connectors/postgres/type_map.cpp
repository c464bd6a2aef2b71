#include "connectors/postgres/type_map.h"

namespace millrace::postgres {
namespace {

// Object ids of built-in types are part of PostgreSQL's wire protocol and never change.
constexpr uint32_t kNumericOid = 1700;
constexpr int32_t kVarHeaderSize = 4;

}  // namespace

sdk::LogicalType LogicalTypeOf(const ScalarType& type) {
    using Type = sdk::LogicalType;
    if (type.is_enum) {
        return Type::kEnum;
    }
    switch (type.oid) {
        case 16:
            return Type::kBoolean;
        case 17:
            return Type::kBytes;
        case 20:
        case 26:  // oid is unsigned and passes int4
            return Type::kInt64;
        case 21:
            return Type::kInt16;
        case 23:
            return Type::kInt32;
        case 114:   // json
        case 3802:  // jsonb
            return Type::kJson;
        case 700:
            return Type::kFloat32;
        case 701:
            return Type::kFloat64;
        case 1082:
            return Type::kDate;
        case 1083:
            return Type::kTime;
        case 1114:
            return Type::kTimestamp;
        case 1184:
            return Type::kTimestampTz;
        case 1186:
            return Type::kInterval;
        case 1266:
            return Type::kTimeTz;
        case kNumericOid:
            return Type::kNumeric;
        case 2950:
            return Type::kUuid;
        default:
            return Type::kText;
    }
}

void SetNumericBounds(const ScalarType& type, ColumnType& column) {
    if (type.oid != kNumericOid || type.typmod < kVarHeaderSize) {
        return;
    }
    const int32_t packed = type.typmod - kVarHeaderSize;
    column.precision = (packed >> 16) & 0xffff;
    // Eleven bits, signed: a scale may be negative.
    column.scale = ((packed & 0x7ff) ^ 1024) - 1024;
}

}  // namespace millrace::postgres
