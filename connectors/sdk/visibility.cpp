#include "connectors/sdk/visibility.h"

#include <algorithm>
#include <utility>

namespace millrace::sdk {
namespace {

constexpr uint64_t kEpoch = uint64_t{1} << 32;

}  // namespace

Visibility::Visibility(uint64_t xmin, uint64_t xmax, std::vector<uint64_t> running)
    : xmin_(xmin), xmax_(xmax), running_(std::move(running)) {
    std::ranges::sort(running_);
}

uint64_t Visibility::Widen(uint32_t xid) const {
    const uint64_t same_epoch = (xmax_ & ~(kEpoch - 1)) | xid;
    if (same_epoch > xmax_ + kEpoch / 2 && same_epoch >= kEpoch) {
        return same_epoch - kEpoch;
    }
    return same_epoch + kEpoch / 2 < xmax_ ? same_epoch + kEpoch : same_epoch;
}

bool Visibility::SeesFull(uint64_t xid) const {
    return xid < xmin_ || (xid < xmax_ && !std::ranges::binary_search(running_, xid));
}

}  // namespace millrace::sdk
