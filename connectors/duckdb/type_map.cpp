#include "connectors/duckdb/type_map.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "base/text.h"

namespace millrace::duckdb {
namespace {

using sdk::LogicalType;
using sql::TypeFit;

constexpr int kMaxPrecision = 38;
constexpr std::string_view kTimestampTz = "TIMESTAMP WITH TIME ZONE";

struct Decimal final {
    int precision = 0;
    int scale = 0;
    [[nodiscard]] int whole() const { return precision - scale; }
    [[nodiscard]] bool Holds(const Decimal& other) const {
        return whole() >= other.whole() && scale >= other.scale;
    }
};

std::optional<Decimal> ParseDecimal(std::string_view type) {
    constexpr std::string_view kPrefix = "DECIMAL(";
    if (!type.starts_with(kPrefix)) {
        return std::nullopt;
    }
    Decimal decimal;
    const char* const end = type.data() + type.size();
    const auto [comma, error] = std::from_chars(type.data() + kPrefix.size(), end, decimal.precision);
    if (error != std::errc() || comma == end || *comma != ',' ||
        std::from_chars(comma + 1, end, decimal.scale).ec != std::errc()) {
        return std::nullopt;
    }
    return decimal;
}

struct Integer final {
    std::string_view name;
    int digits;
};
constexpr std::array<Integer, 5> kIntegers = {
    {{"TINYINT", 3}, {"SMALLINT", 5}, {"INTEGER", 10}, {"BIGINT", 19}, {"HUGEINT", 39}}};

// 0 for what is no integer type.
int DigitsOf(std::string_view type) {
    const auto* const found = std::ranges::find(kIntegers, type, &Integer::name);
    return found == kIntegers.end() ? 0 : found->digits;
}

std::string NumericType(const sdk::Column& column) {
    if (column.precision < 1) {
        return "VARCHAR";
    }
    // A scale below zero rounds to tens, one above the precision leaves zeroes behind the point.
    const int scale = std::max(column.scale, 0);
    const int precision = std::max(column.precision - std::min(column.scale, 0), scale);
    if (precision > kMaxPrecision) {
        return "VARCHAR";
    }
    return base::Concat("DECIMAL(", precision, ",", scale, ")");
}

// Whether every value of `narrow` is one of `wide`, written alike, so that either direction of use is exact.
bool Includes(std::string_view wide, std::string_view narrow) {
    const int wide_digits = DigitsOf(wide);
    const int narrow_digits = DigitsOf(narrow);
    const auto wide_decimal = ParseDecimal(wide);
    const auto narrow_decimal = ParseDecimal(narrow);
    if (narrow_digits > 0) {
        return wide_digits >= narrow_digits || (wide_decimal && wide_decimal->whole() >= narrow_digits) ||
               (wide == "DOUBLE" && narrow_digits <= 10) || (wide == "FLOAT" && narrow_digits <= 5);
    }
    if (narrow_decimal) {
        return wide_decimal && wide_decimal->Holds(*narrow_decimal);
    }
    return false;
}

// Existing rows keep their meaning when such a column is altered.
bool Widens(std::string_view existing, std::string_view wanted) {
    if (Includes(wanted, existing) || (existing == "FLOAT" && wanted == "DOUBLE")) {
        return true;
    }
    return wanted == "VARCHAR" &&
           (DigitsOf(existing) > 0 || ParseDecimal(existing) || existing == "UUID" || existing == "JSON");
}

bool RewriteBytes(std::string_view text, std::string& scratch) {
    if (!text.starts_with("\\x") || text.size() % 2 != 0) {
        return false;
    }
    const auto digit = [](char c) {
        return c >= '0' && c <= '9'   ? c - '0'
               : c >= 'a' && c <= 'f' ? c - 'a' + 10
               : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                      : -1;
    };
    scratch.clear();
    scratch.reserve(text.size() / 2);
    for (size_t i = 2; i < text.size(); i += 2) {
        const int high = digit(text[i]);
        const int low = digit(text[i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        scratch.push_back(static_cast<char>(high * 16 + low));
    }
    return true;
}

}  // namespace

std::string TypeFor(const sdk::Column& column, bool has_json) {
    switch (column.type) {
        case LogicalType::kBoolean:
            return "BOOLEAN";
        case LogicalType::kInt16:
            return "SMALLINT";
        case LogicalType::kInt32:
            return "INTEGER";
        case LogicalType::kInt64:
            return "BIGINT";
        case LogicalType::kFloat32:
            return "FLOAT";
        case LogicalType::kFloat64:
            return "DOUBLE";
        case LogicalType::kNumeric:
            return NumericType(column);
        case LogicalType::kBytes:
            return "BLOB";
        case LogicalType::kDate:
            return "DATE";
        case LogicalType::kTime:
            return "TIME";
        case LogicalType::kTimeTz:
            return "TIME WITH TIME ZONE";
        case LogicalType::kTimestamp:
            return "TIMESTAMP";
        case LogicalType::kTimestampTz:
            return std::string(kTimestampTz);
        case LogicalType::kInterval:
            return "INTERVAL";
        case LogicalType::kUuid:
            return "UUID";
        case LogicalType::kJson:
            return has_json ? "JSON" : "VARCHAR";
        case LogicalType::kText:
        case LogicalType::kArray:
        case LogicalType::kEnum:
            break;
    }
    return "VARCHAR";
}

TypeFit CompareTypes(std::string_view existing, std::string_view wanted) {
    // Text holds the source's own text of anything but bytes, whose text is a form of transport.
    if (existing == wanted || (existing == "VARCHAR" && wanted != "BLOB") || Includes(existing, wanted)) {
        return TypeFit::kFits;
    }
    return Widens(existing, wanted) ? TypeFit::kWiden : TypeFit::kClash;
}

CellForm FormFor(std::string_view destination) {
    if (destination == "BLOB") {
        return CellForm::kBytes;
    }
    if (destination == "DATE" || destination == "TIMESTAMP" || destination == kTimestampTz) {
        return CellForm::kCalendar;
    }
    if (destination == "INTERVAL") {
        return CellForm::kInterval;
    }
    return ParseDecimal(destination) ? CellForm::kDecimal : CellForm::kText;
}

int ScaleOf(std::string_view decimal_type) {
    const auto decimal = ParseDecimal(decimal_type);
    return decimal ? decimal->scale : 0;
}

bool RewriteCell(CellForm form, int scale, std::string_view text, std::string& scratch,
                 std::string_view& result) {
    result = text;
    switch (form) {
        case CellForm::kText:
            return true;
        case CellForm::kBytes:
            if (!RewriteBytes(text, scratch)) {
                return false;
            }
            result = scratch;
            return true;
        case CellForm::kDecimal: {
            const size_t point = text.find('.');
            return point == std::string_view::npos || text.size() - point - 1 <= static_cast<size_t>(scale);
        }
        case CellForm::kCalendar: {
            constexpr std::string_view kBefore = " BC";
            if (!text.ends_with(kBefore)) {
                return true;
            }
            const std::string_view moment = text.substr(0, text.size() - kBefore.size());
            const size_t space = std::min(moment.find(' '), moment.size());
            scratch = base::Concat(moment.substr(0, space), " (BC)", moment.substr(space));
            result = scratch;
            return true;
        }
        case CellForm::kInterval:
            scratch = text;
            std::erase(scratch, '+');
            result = scratch;
            return true;
    }
    return false;
}

}  // namespace millrace::duckdb
