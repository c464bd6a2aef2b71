/// Which transactions' effects a read saw. Not for: ordering transactions (Position).
#pragma once

#include <cstdint>
#include <vector>

namespace millrace::sdk {

/// What one snapshot of the source sees; ids are those of ChangeEvent::xid, with their epoch. Visible stays visible: what
/// a snapshot sees, every later one does.
class Visibility final {
 public:
    /// Sees everything below `xmin`, nothing from `xmax` on, and between them all but `running`.
    Visibility(uint64_t xmin, uint64_t xmax, std::vector<uint64_t> running);
    /// Sees nothing.
    Visibility() = default;

    /// `xid` has the low half of a transaction's id; it is taken for the nearest to this snapshot.
    [[nodiscard]] bool Sees(uint32_t xid) const { return SeesFull(Widen(xid)); }
    [[nodiscard]] bool SeesFull(uint64_t xid) const;

 private:
    [[nodiscard]] uint64_t Widen(uint32_t xid) const;

    uint64_t xmin_ = 0;
    uint64_t xmax_ = 0;
    /// In rising order.
    std::vector<uint64_t> running_;
};

}  // namespace millrace::sdk
