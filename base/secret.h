/// A credential that cannot be printed, logged, formatted or compared by accident.
/// Not for: sealing (seal.h), reading from env or files (cli).
#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace millrace::base {

class Secret final {
  public:
    Secret() = default;
    explicit Secret(std::string value) : value_(std::move(value)) {}
    Secret(const Secret&) = default;
    Secret& operator=(const Secret& other) {
        if (this != &other) {
            *this = Secret(other);
        }
        return *this;
    }
    Secret(Secret&& other) noexcept : value_(std::move(other.value_)) { other.Wipe(); }
    Secret& operator=(Secret&& other) noexcept {
        if (this != &other) {
            Wipe();
            value_ = std::move(other.value_);
            other.Wipe();
        }
        return *this;
    }
    ~Secret() { Wipe(); }

    /// The value, for the one call that needs it (a connection parameter, a header). Never keep a copy.
    [[nodiscard]] const std::string& Reveal() const { return value_; }
    [[nodiscard]] bool empty() const { return value_.empty(); }

    template <typename Stream>
    friend Stream& operator<<(Stream&, const Secret&) = delete;

  private:
    void Wipe() noexcept;

    std::string value_;
};

}  // namespace millrace::base
