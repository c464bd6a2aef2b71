#include "data-plane/codec/record_parts.h"

#include <charconv>
#include <utility>

#include "base/status.h"
#include "base/text.h"

namespace millrace::codec {
namespace {

absl::Status Malformed(std::string_view what) {
    return base::MakeError(absl::StatusCode::kDataLoss, "BAD_RECORD",
                           base::Concat("a part of a split record cannot be used: ", what),
                           "check that nothing but Millrace writes to the topic, then copy the table anew");
}

/// Takes a number without sign or leading zeros, and the '/' behind it unless it is the last.
bool TakeNumber(std::string_view& text, bool last, uint64_t& number) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const auto digits = static_cast<std::size_t>(end - text.data());
    if (error != std::errc() || number == 0 || text.front() == '0') {
        return false;
    }
    text.remove_prefix(digits);
    if (last) {
        return text.empty();
    }
    if (text.empty() || text.front() != '/') {
        return false;
    }
    text.remove_prefix(1);
    return true;
}

}  // namespace

std::string PartHeader(const RecordPart& part) {
    return base::Concat(part.index, "/", part.count, "/", part.bytes);
}

absl::StatusOr<RecordPart> ParsePartHeader(std::string_view header) {
    RecordPart part;
    if (!TakeNumber(header, false, part.index) || !TakeNumber(header, false, part.count) ||
        !TakeNumber(header, true, part.bytes)) {
        return Malformed("its header is not index/count/bytes");
    }
    if (part.index > part.count || part.count > part.bytes || part.bytes > kMaxRecordBytes) {
        return Malformed("its header's numbers do not fit each other");
    }
    return part;
}

absl::Status LoosePart(std::string_view header) {
    const absl::StatusOr<RecordPart> part = ParsePartHeader(header);
    return part.ok() ? Malformed(base::Concat("part ", part->index, " of ", part->count,
                                              " stands without the others"))
                     : part.status();
}

bool PartJoiner::Follows(const RecordPart& part, std::size_t slice) const {
    if (part.index != taken_ + 1 || part.count != whole_.count || part.bytes != whole_.bytes) {
        return false;
    }
    const std::size_t left = static_cast<std::size_t>(whole_.bytes) - value_.size();
    return part.index < part.count ? slice == part_bytes_ && slice < left : slice == left;
}

absl::Status PartJoiner::Add(const RecordPart& part, std::string_view slice) {
    if (empty()) {
        whole_ = part;
        part_bytes_ = slice.size();
    }
    if (!Follows(part, slice.size()) || part_bytes_ == 0 ||
        PartCount(static_cast<std::size_t>(part.bytes), part_bytes_) != part.count) {
        Reset();
        return Malformed(base::Concat("part ", part.index, " of ", part.count, " does not follow"));
    }
    if (empty()) {
        value_.reserve(static_cast<std::size_t>(part.bytes));
    }
    value_.append(slice);
    ++taken_;
    return absl::OkStatus();
}

std::string PartJoiner::Take() {
    std::string value = std::move(value_);
    Reset();
    return value;
}

void PartJoiner::Reset() {
    // Gives its memory back, which clear() would keep.
    value_ = std::string();
    whole_ = {};
    part_bytes_ = 0;
    taken_ = 0;
}

}  // namespace millrace::codec
