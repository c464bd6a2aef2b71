/// A MemoryStore whose tables live in files, so that several processes may write to it and one may be killed
/// at any time. Not for: anything but tests.
#pragma once

#include <string>

#include "data-plane/apply/memory_destination.h"

namespace millrace::apply {

/// One file per table, replaced as a whole under a lock. A change that lowers the number in a row's "status",
/// or a checkpoint, is refused with Internal and remembered in violations().
class FileStore final : public MemoryStore {
 public:
    explicit FileStore(std::string folder) : folder_(std::move(folder)) {}

    absl::Status Transact(const std::string& topic,
                          const std::function<absl::Status(MemoryTable&)>& change) override;
    /// Of every process.
    [[nodiscard]] std::string violations() const;

 private:
    absl::Status Violation(const std::string& what);

    std::string folder_;
};

}  // namespace millrace::apply
