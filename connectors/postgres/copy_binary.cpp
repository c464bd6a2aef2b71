#include "connectors/postgres/copy_binary.h"

#include <array>
#include <bit>
#include <charconv>
#include <concepts>
#include <cstdint>
#include <limits>
#include <string_view>

#include "base/text.h"
#include "base/time_text.h"

namespace millrace::postgres {
namespace {

using Origin = sql::LoadColumn::Origin;

/// 2000-01-01, from which a server counts.
constexpr int64_t kEpochDays = 10'957;
constexpr int64_t kEpochMicros = kEpochDays * 86'400'000'000;
constexpr size_t kMostDecimalDigits = 16'000;
constexpr int kDigitsOfGroup = 4;

template <std::integral Number>
void Put(std::string& out, Number number) {
    using Bits = std::make_unsigned_t<Number>;
    auto bits = static_cast<Bits>(number);
    std::array<char, sizeof(Number)> bytes{};
    for (size_t i = bytes.size(); i-- > 0; bits = static_cast<Bits>(bits >> (sizeof(Number) > 1 ? 8U : 0U))) {
        bytes[i] = static_cast<char>(bits & 0xFFU);
    }
    out.append(bytes.data(), bytes.size());
}

/// A field of fixed size with its length.
template <std::integral Number>
void PutField(std::string& out, Number number) {
    Put(out, static_cast<int32_t>(sizeof(Number)));
    Put(out, number);
}

void PutField(std::string& out, std::string_view bytes) {
    Put(out, static_cast<int32_t>(bytes.size()));
    out.append(bytes);
}

template <std::integral Number>
bool PutInteger(std::string& out, std::string_view text) {
    Number number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) {
        return false;
    }
    PutField(out, number);
    return true;
}

template <std::floating_point Number, std::integral Bits>
bool PutFloat(std::string& out, std::string_view text) {
    Number number = 0;
    if (text == "NaN") {
        number = std::numeric_limits<Number>::quiet_NaN();
    } else if (text == "Infinity" || text == "-Infinity") {
        number = std::numeric_limits<Number>::infinity() * (text.front() == '-' ? -1 : 1);
    } else {
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (error != std::errc() || end != text.data() + text.size()) {
            return false;
        }
    }
    PutField(out, std::bit_cast<Bits>(number));
    return true;
}

bool PutBytes(std::string& out, std::string_view text) {
    if (!text.starts_with("\\x")) {
        return false;
    }
    Put(out, static_cast<int32_t>(text.size() / 2 - 1));
    return base::AppendHexBytes(text.substr(2), out);
}

bool PutUuid(std::string& out, std::string_view text) {
    constexpr std::array<size_t, 5> kGroups = {8, 4, 4, 4, 12};
    constexpr size_t kTextSize = 36;
    constexpr int32_t kUuidBytes = 16;
    if (text.size() != kTextSize) {
        return false;
    }
    Put(out, kUuidBytes);
    size_t at = 0;
    for (const size_t digits : kGroups) {
        if (!base::AppendHexBytes(text.substr(at, digits), out)) {
            return false;
        }
        at += digits;
        if (at < text.size() && text[at++] != '-') {
            return false;
        }
    }
    return true;
}

bool PutDate(std::string& out, std::string_view text) {
    if (text == "infinity" || text == "-infinity") {
        PutField(out, text.front() == '-' ? std::numeric_limits<int32_t>::min() : std::numeric_limits<int32_t>::max());
        return true;
    }
    const auto days = base::DaysOfDate(text);
    if (!days) {
        return false;
    }
    PutField(out, static_cast<int32_t>(*days - kEpochDays));
    return true;
}

bool PutTime(std::string& out, std::string_view text) {
    const auto micros = base::MicrosOfTime(text);
    if (micros) {
        PutField(out, *micros);
    }
    return micros.has_value();
}

bool PutTimestamp(std::string& out, std::string_view text, bool zoned) {
    if (text == "infinity" || text == "-infinity") {
        PutField(out, text.front() == '-' ? std::numeric_limits<int64_t>::min() : std::numeric_limits<int64_t>::max());
        return true;
    }
    if (zoned) {
        // Our sessions write UTC; anything else, and dates before Christ, are left to the server.
        if (!text.ends_with("+00")) {
            return false;
        }
        text.remove_suffix(3);
    }
    const auto micros = base::MicrosOfTimestamp(text);
    if (!micros || *micros < std::numeric_limits<int64_t>::min() / 2) {
        return false;
    }
    PutField(out, *micros - kEpochMicros);
    return true;
}

/// https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/numeric.c, numeric_send: groups of four decimal
/// digits around the point, the weight of the first, the sign, the number of digits behind the point.
class Numeric final {
 public:
    bool Parse(std::string_view text) {
        negative_ = text.starts_with('-');
        text.remove_prefix(negative_ ? 1 : 0);
        const size_t point = text.find('.');
        const std::string_view whole = text.substr(0, point);
        const std::string_view fraction = point == std::string_view::npos ? std::string_view() : text.substr(point + 1);
        if (whole.empty() || text.size() > kMostDecimalDigits || (point != std::string_view::npos && fraction.empty())) {
            return false;
        }
        scale_ = fraction.size();
        return AppendWhole(whole) && AppendFraction(fraction);
    }

    void Put(std::string& out) {
        size_t begin = 0;
        size_t end = groups_.size();
        while (begin < end && groups_[begin] == 0) {
            ++begin;
        }
        while (end > begin && groups_[end - 1] == 0) {
            --end;
        }
        const size_t count = end - begin;
        constexpr size_t kControlBytes = 8;
        postgres::Put(out, static_cast<int32_t>(kControlBytes + 2 * count));
        postgres::Put(out, static_cast<int16_t>(count));
        postgres::Put(out, static_cast<int16_t>(count == 0 ? 0 : weight_ - static_cast<int>(begin)));
        postgres::Put(out, static_cast<uint16_t>(negative_ && count > 0 ? 0x4000 : 0));
        postgres::Put(out, static_cast<uint16_t>(scale_));
        for (size_t i = begin; i < end; ++i) {
            postgres::Put(out, groups_[i]);
        }
    }

 private:
    bool AppendGroup(std::string_view digits, int missing) {
        int group = 0;
        for (const char c : digits) {
            if (c < '0' || c > '9') {
                return false;
            }
            group = group * 10 + (c - '0');
        }
        for (int i = 0; i < missing; ++i) {
            group *= 10;
        }
        groups_.push_back(static_cast<int16_t>(group));
        return true;
    }

    bool AppendWhole(std::string_view whole) {
        size_t first = whole.size() % kDigitsOfGroup;
        first = first == 0 ? kDigitsOfGroup : first;
        weight_ = static_cast<int>((whole.size() - 1) / kDigitsOfGroup);
        bool good = AppendGroup(whole.substr(0, first), 0);
        for (size_t at = first; good && at < whole.size(); at += kDigitsOfGroup) {
            good = AppendGroup(whole.substr(at, kDigitsOfGroup), 0);
        }
        return good;
    }

    bool AppendFraction(std::string_view fraction) {
        bool good = true;
        for (size_t at = 0; good && at < fraction.size(); at += kDigitsOfGroup) {
            const std::string_view digits = fraction.substr(at, kDigitsOfGroup);
            good = AppendGroup(digits, kDigitsOfGroup - static_cast<int>(digits.size()));
        }
        return good;
    }

    bool negative_ = false;
    int weight_ = 0;
    size_t scale_ = 0;
    std::vector<int16_t> groups_;
};

bool PutNumeric(std::string& out, std::string_view text) {
    Numeric numeric;
    if (!numeric.Parse(text)) {
        return false;  // NaN and infinities, which old servers have not, too
    }
    numeric.Put(out);
    return true;
}

/// "numeric(12,2)" → "numeric", "timestamp(3) with time zone" → "timestamp with time zone".
std::string WithoutModifier(const std::string& type) {
    const size_t open = type.find('(');
    const size_t close = type.find(')', open == std::string::npos ? 0 : open);
    return open == std::string::npos || close == std::string::npos ? type : type.substr(0, open) + type.substr(close + 1);
}

}  // namespace

std::optional<CopyBinary::Form> CopyBinary::FormOf(const sql::LoadColumn& column) {
    switch (column.origin) {
        case Origin::kRowNumber:
            return Form::kInt4;
        case Origin::kGone:
        case Origin::kUnchanged:
            return Form::kBool;
        default:
            break;
    }
    struct Known final {
        std::string_view type;
        Form form;
    };
    static constexpr std::array<Known, 18> kKnown = {{{"boolean", Form::kBool},
                                                      {"smallint", Form::kInt2},
                                                      {"integer", Form::kInt4},
                                                      {"bigint", Form::kInt8},
                                                      {"real", Form::kFloat4},
                                                      {"double precision", Form::kFloat8},
                                                      {"text", Form::kText},
                                                      {"character varying", Form::kText},
                                                      {"character", Form::kText},
                                                      {"json", Form::kText},
                                                      {"jsonb", Form::kJsonb},
                                                      {"bytea", Form::kBytes},
                                                      {"uuid", Form::kUuid},
                                                      {"date", Form::kDate},
                                                      {"time without time zone", Form::kTime},
                                                      {"timestamp without time zone", Form::kTimestamp},
                                                      {"timestamp with time zone", Form::kTimestampTz},
                                                      {"numeric", Form::kNumeric}}};
    const std::string type = WithoutModifier(column.type);
    for (const Known& known : kKnown) {
        if (known.type == type) {
            return known.form;
        }
    }
    return std::nullopt;
}

std::optional<CopyBinary> CopyBinary::For(const sql::LoadTable& table) {
    CopyBinary binary(table);
    for (const sql::LoadColumn& column : table.columns) {
        const auto form = FormOf(column);
        if (!form) {
            return std::nullopt;
        }
        binary.forms_.push_back(*form);
    }
    return binary;
}

void CopyBinary::AppendHeader(std::string& out) {
    out.append("PGCOPY\n\377\r\n\0", 11);
    Put(out, int32_t{0});
    Put(out, int32_t{0});
}

void CopyBinary::AppendTrailer(std::string& out) {
    Put(out, int16_t{-1});
}

bool CopyBinary::AppendRow(std::string& out, const sdk::Batch& batch, size_t row) const {
    Put(out, static_cast<int16_t>(forms_.size()));
    for (size_t column = 0; column < forms_.size(); ++column) {
        if (!AppendField(out, column, batch, row)) {
            return false;
        }
    }
    return true;
}

bool CopyBinary::AppendField(std::string& out, size_t column, const sdk::Batch& batch, size_t row) const {
    const sql::LoadColumn& wanted = table_.columns[column];
    switch (wanted.origin) {
        case Origin::kRowNumber:
            PutField(out, static_cast<int32_t>(row));
            return true;
        case Origin::kGone:
        case Origin::kUnchanged:
            PutField(out, static_cast<int8_t>(sql::LoadedFlag(wanted, batch, row) ? 1 : 0));
            return true;
        default:
            break;
    }
    const sdk::Cell cell = sql::LoadedCell(wanted, batch, row);
    if (cell.is_null()) {
        Put(out, int32_t{-1});
        return true;
    }
    return AppendValue(out, forms_[column], cell.text());
}

bool CopyBinary::AppendValue(std::string& out, Form form, std::string_view text) {
    switch (form) {
        case Form::kBool:
            PutField(out, static_cast<int8_t>(text == "t" ? 1 : 0));
            return text == "t" || text == "f";
        case Form::kInt2:
            return PutInteger<int16_t>(out, text);
        case Form::kInt4:
            return PutInteger<int32_t>(out, text);
        case Form::kInt8:
            return PutInteger<int64_t>(out, text);
        case Form::kFloat4:
            return PutFloat<float, int32_t>(out, text);
        case Form::kFloat8:
            return PutFloat<double, int64_t>(out, text);
        case Form::kText:
            PutField(out, text);
            return true;
        case Form::kJsonb:
            Put(out, static_cast<int32_t>(text.size() + 1));
            out.push_back('\1');
            out.append(text);
            return true;
        case Form::kBytes:
            return PutBytes(out, text);
        case Form::kUuid:
            return PutUuid(out, text);
        case Form::kDate:
            return PutDate(out, text);
        case Form::kTime:
            return PutTime(out, text);
        case Form::kTimestamp:
            return PutTimestamp(out, text, false);
        case Form::kTimestampTz:
            return PutTimestamp(out, text, true);
        case Form::kNumeric:
            return PutNumeric(out, text);
    }
    return false;
}

}  // namespace millrace::postgres
