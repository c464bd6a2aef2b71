#include "control-plane/store/uuid.h"

#include <cstdint>
#include <random>

#include "absl/strings/str_format.h"

namespace millrace::store {

std::string NewUuid() {
    std::random_device entropy;
    const auto next = [&] { return static_cast<uint64_t>(entropy()) << 32 | entropy(); };
    const uint64_t high = (next() & ~uint64_t{0xF000}) | 0x4000;
    const uint64_t low = (next() & ~(uint64_t{3} << 62)) | uint64_t{2} << 62;
    return absl::StrFormat("%08x-%04x-%04x-%04x-%012x", high >> 32, high >> 16 & 0xFFFF, high & 0xFFFF,
                           low >> 48, low & 0xFFFFFFFFFFFF);
}

}  // namespace millrace::store
