// Split records: parts of any headers and bytes are joined into what they were or refused; what was split is
// joined again.
#include <string>

#include "data-plane/codec/record_parts.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using namespace millrace;

/// Parts as they come: a header, its length before it, and some bytes.
void JoinAnything(fuzz::Input& input) {
    codec::PartJoiner joiner;
    std::string taken;
    for (size_t pieces = input.Byte() % 16U; pieces > 0; --pieces) {
        const std::string header(input.Take(input.Byte() % 24U));
        const std::string slice(input.Take(input.Byte()));
        const auto part = codec::ParsePartHeader(header);
        if (!part.ok()) {
            continue;
        }
        fuzz::Require(codec::PartHeader(*part) == header, "a header is written in one way only");
        const bool begins = joiner.empty();
        if (!joiner.Add(*part, slice).ok()) {
            fuzz::Require(joiner.empty(), "nothing is left of what was refused");
            continue;
        }
        taken = begins ? slice : taken + slice;
        if (joiner.complete()) {
            fuzz::Require(taken.size() == part->bytes && joiner.Take() == taken,
                          "a joined value is its parts");
        }
    }
}

void SplitAndJoin(const std::string& value, size_t part_bytes) {
    codec::PartJoiner joiner;
    const uint64_t count = codec::PartCount(value.size(), part_bytes);
    for (uint64_t index = 1; index <= count; ++index) {
        const auto part = codec::ParsePartHeader(codec::PartHeader({index, count, value.size()}));
        fuzz::Require(part.ok() && joiner.Add(*part, value.substr((index - 1) * part_bytes, part_bytes)).ok(),
                      "what was split can be joined");
    }
    fuzz::Require(joiner.complete() && joiner.Take() == value,
                  "a value is the same after splitting and joining");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    fuzz::Input input(data, size);
    JoinAnything(input);
    const size_t part_bytes = input.Byte() + size_t{1};
    if (const std::string value(input.rest()); !value.empty()) {
        SplitAndJoin(value, part_bytes);
    }
    return 0;
}
