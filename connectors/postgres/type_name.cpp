#include "connectors/postgres/type_name.h"

#include <algorithm>
#include <array>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "base/text.h"

namespace millrace::postgres {
namespace {

using sql::TypeFit;

constexpr std::string_view kVarchar = "character varying";
constexpr int kUnlimited = 1 << 30;

constexpr auto kPortable = std::to_array<std::string_view>({"bigint",
                                                            "bit",
                                                            "bit varying",
                                                            "boolean",
                                                            "box",
                                                            "bpchar",
                                                            "bytea",
                                                            "character",
                                                            "character varying",
                                                            "cid",
                                                            "cidr",
                                                            "circle",
                                                            "date",
                                                            "datemultirange",
                                                            "daterange",
                                                            "double precision",
                                                            "inet",
                                                            "int2vector",
                                                            "int4multirange",
                                                            "int4range",
                                                            "int8multirange",
                                                            "int8range",
                                                            "integer",
                                                            "interval",
                                                            "json",
                                                            "jsonb",
                                                            "jsonpath",
                                                            "line",
                                                            "lseg",
                                                            "macaddr",
                                                            "macaddr8",
                                                            "money",
                                                            "name",
                                                            "numeric",
                                                            "nummultirange",
                                                            "numrange",
                                                            "oid",
                                                            "oidvector",
                                                            "path",
                                                            "pg_lsn",
                                                            "pg_snapshot",
                                                            "point",
                                                            "polygon",
                                                            "real",
                                                            "refcursor",
                                                            "regclass",
                                                            "regcollation",
                                                            "regconfig",
                                                            "regdictionary",
                                                            "regnamespace",
                                                            "regoper",
                                                            "regoperator",
                                                            "regproc",
                                                            "regprocedure",
                                                            "regrole",
                                                            "regtype",
                                                            "smallint",
                                                            "text",
                                                            "tid",
                                                            "time with time zone",
                                                            "time without time zone",
                                                            "timestamp with time zone",
                                                            "timestamp without time zone",
                                                            "tsmultirange",
                                                            "tsquery",
                                                            "tsrange",
                                                            "tstzmultirange",
                                                            "tstzrange",
                                                            "tsvector",
                                                            "txid_snapshot",
                                                            "uuid",
                                                            "xid",
                                                            "xid8",
                                                            "xml"});

constexpr auto kServerBound = std::to_array<std::string_view>(
    {"aclitem", "gtsvector", "pg_brin_bloom_summary", "pg_brin_minmax_multi_summary", "pg_dependencies",
     "pg_mcv_list", "pg_ndistinct", "pg_node_tree"});

bool IsInterval(std::string_view base) {
    return base == "interval" || base.substr(0, 9) == "interval ";
}

bool HoldsAnyText(const TypeName& type) {
    return type.base == "text" || (type.base == kVarchar && type.modifiers.empty());
}

/// A type as a set of exact decimal numbers: digits before and after the point.
struct Decimal final {
    int whole = 0;
    int fraction = 0;

    [[nodiscard]] bool Holds(const Decimal& other) const {
        return whole >= other.whole && fraction >= other.fraction;
    }
};

std::optional<Decimal> AsDecimal(const TypeName& type) {
    if (type.base == "smallint") {
        return Decimal{5, 0};
    }
    if (type.base == "integer") {
        return Decimal{10, 0};
    }
    if (type.base == "bigint") {
        return Decimal{19, 0};
    }
    if (type.base != "numeric") {
        return std::nullopt;
    }
    if (type.modifiers.empty()) {
        return Decimal{kUnlimited, kUnlimited};
    }
    const int scale = type.modifiers.size() > 1 ? type.modifiers[1] : 0;
    return Decimal{type.modifiers[0] - scale, scale};
}

// Longest value; nullopt where length is not what tells two types of this base apart.
std::optional<int> Length(const TypeName& type) {
    if (type.base == kVarchar || type.base == "bit varying") {
        return type.modifiers.empty() ? kUnlimited : type.modifiers[0];
    }
    if (type.base == "character") {
        return type.modifiers.empty() ? 1 : type.modifiers[0];
    }
    if (type.base.substr(0, 4) == "time") {
        return type.modifiers.empty() ? 6 : type.modifiers[0];
    }
    return std::nullopt;
}

TypeFit Order(bool existing_holds, bool wanted_holds) {
    if (existing_holds) {
        return TypeFit::kFits;
    }
    return wanted_holds ? TypeFit::kWiden : TypeFit::kClash;
}

TypeFit FitElement(const TypeName& existing, const TypeName& wanted) {
    const auto existing_decimal = AsDecimal(existing);
    const auto wanted_decimal = AsDecimal(wanted);
    if (existing_decimal && wanted_decimal) {
        return Order(existing_decimal->Holds(*wanted_decimal), wanted_decimal->Holds(*existing_decimal));
    }
    if (existing.base == wanted.base) {
        if (const auto have = Length(existing), want = Length(wanted); have && want) {
            return Order(*have >= *want, *want >= *have);
        }
    }
    if (existing.base == "double precision" && wanted.base == "real") {
        return TypeFit::kFits;
    }
    if (existing.base == "real" && wanted.base == "double precision") {
        return TypeFit::kWiden;
    }
    if (IsInterval(existing.base) && IsInterval(wanted.base)) {
        const TypeName whole{.base = "interval", .modifiers = {}};
        return Order(existing.base == whole.base && existing.modifiers.empty(),
                     wanted.base == whole.base && wanted.modifiers.empty());
    }
    if (existing.base == kVarchar && wanted.base == "text") {
        return TypeFit::kWiden;
    }
    return TypeFit::kClash;
}

std::string_view BaseOf(sdk::LogicalType type) {
    using sdk::LogicalType;
    switch (type) {
        case LogicalType::kBoolean:
            return "boolean";
        case LogicalType::kInt16:
            return "smallint";
        case LogicalType::kInt32:
            return "integer";
        case LogicalType::kInt64:
            return "bigint";
        case LogicalType::kFloat32:
            return "real";
        case LogicalType::kFloat64:
            return "double precision";
        case LogicalType::kNumeric:
            return "numeric";
        case LogicalType::kBytes:
            return "bytea";
        case LogicalType::kDate:
            return "date";
        case LogicalType::kTime:
            return "time without time zone";
        case LogicalType::kTimeTz:
            return "time with time zone";
        case LogicalType::kTimestamp:
            return "timestamp without time zone";
        case LogicalType::kTimestampTz:
            return "timestamp with time zone";
        case LogicalType::kInterval:
            return "interval";
        case LogicalType::kUuid:
            return "uuid";
        case LogicalType::kJson:
            return "json";
        case LogicalType::kText:
        case LogicalType::kArray:
        case LogicalType::kEnum:
            break;
    }
    return "text";
}

}  // namespace

TypeName TypeName::Parse(std::string_view text) {
    TypeName type;
    if (text.size() > 2 && text.substr(text.size() - 2) == "[]") {
        type.array = true;
        text.remove_suffix(2);
    }
    const size_t open = text.find('(');
    const size_t close = text.find(')', open == std::string_view::npos ? 0 : open);
    // A quoted name may hold anything.
    if (text.find('"') != std::string_view::npos || open == std::string_view::npos ||
        close == std::string_view::npos) {
        type.base = std::string(text);
        return type;
    }
    for (const auto part : absl::StrSplit(base::ToAbsl(text.substr(open + 1, close - open - 1)), ',')) {
        int modifier = 0;
        if (!absl::SimpleAtoi(part, &modifier)) {
            // Modifiers that are no numbers ("geometry(Point,4326)") stay part of the name.
            type.base = std::string(text);
            type.modifiers.clear();
            return type;
        }
        type.modifiers.push_back(modifier);
    }
    type.base = base::Concat(text.substr(0, open), text.substr(close + 1));
    return type;
}

std::string TypeName::ToString() const {
    std::string text = base;
    if (!modifiers.empty()) {
        std::string list = "(";
        for (size_t i = 0; i < modifiers.size(); ++i) {
            base::Append(list, i == 0 ? "" : ",", modifiers[i]);
        }
        list += ")";
        // "timestamp(3) with time zone", but "character varying(20)".
        const size_t place = text.substr(0, 4) == "time" ? text.find(' ') : std::string::npos;
        text.insert(place == std::string::npos ? text.size() : place, list);
    }
    return array ? text + "[]" : text;
}

bool IsPortable(const TypeName& type) {
    return IsInterval(type.base) || type.base == "\"char\"" ||
           std::find(kPortable.begin(), kPortable.end(), type.base) != kPortable.end();
}

bool IsServerBound(const TypeName& type) {
    return std::find(kServerBound.begin(), kServerBound.end(), type.base) != kServerBound.end();
}

TypeName TypeOf(const sdk::Column& column) {
    TypeName type;
    const bool array = column.type == sdk::LogicalType::kArray;
    type.base = std::string(BaseOf(array ? column.element : column.type));
    type.array = array;
    if (type.base == "numeric" && column.precision > 0) {
        type.modifiers = {column.precision, std::max(column.scale, 0)};
    }
    return type;
}

TypeFit Fit(const TypeName& existing, const TypeName& wanted) {
    if (existing == wanted || (!existing.array && HoldsAnyText(existing))) {
        return TypeFit::kFits;
    }
    if (existing.array != wanted.array) {
        return TypeFit::kClash;
    }
    return FitElement(existing, wanted);
}

}  // namespace millrace::postgres
