/// The pieces of protobuf's wire format that a change record needs.
/// Not for: messages in general (generated classes), meaning (event_encoder, event_decoder).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace millrace::codec {

/// Field numbers of ChangeRecord.
enum class ChangeField : uint32_t {
    kOp = 1,
    kCommit = 2,
    kSeq = 3,
    kCommitTime = 4,
    kXid = 5,
    kSchemaId = 6,
    kGeneration = 7,
    kAfter = 8,
    kAfterNull = 9,
    kAfterUnchanged = 10,
    kBefore = 11,
    kBeforeNull = 12,
};

enum class WireType : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

constexpr std::size_t kMaxVarintBytes = 10;

constexpr uint32_t Tag(ChangeField field, WireType type) {
    return (static_cast<uint32_t>(field) << 3U) | static_cast<uint32_t>(type);
}

/// Writes into memory that the caller has made large enough.
class WireWriter final {
 public:
    explicit WireWriter(char* at) : at_(at) {}

    void PutVarint(uint64_t value) {
        while (value >= 0x80U) {
            *at_++ = static_cast<char>(value | 0x80U);
            value >>= 7U;
        }
        *at_++ = static_cast<char>(value);
    }
    /// Leaves the field out when it has its default, as protobuf does.
    void PutNumber(ChangeField field, uint64_t value) {
        if (value != 0) {
            PutVarint(Tag(field, WireType::kVarint));
            PutVarint(value);
        }
    }
    void PutFixed64(ChangeField field, uint64_t value) {
        if (value != 0) {
            PutVarint(Tag(field, WireType::kFixed64));
            for (uint32_t i = 0; i < 8; ++i) {
                *at_++ = static_cast<char>(value >> (8 * i));
            }
        }
    }
    void PutBytes(ChangeField field, std::string_view bytes) {
        char* to = PutSpace(field, bytes.size());
        if (!bytes.empty()) {
            std::memcpy(to, bytes.data(), bytes.size());
        }
    }
    /// A bytes field of `size` bytes, which the caller fills in.
    char* PutSpace(ChangeField field, std::size_t size) {
        PutVarint(Tag(field, WireType::kBytes));
        PutVarint(size);
        char* const begin = at_;
        at_ += size;
        return begin;
    }
    [[nodiscard]] char* at() const { return at_; }

 private:
    char* at_;
};

/// Reads untrusted bytes; every call returns false instead of passing the end.
class WireReader final {
 public:
    explicit WireReader(std::string_view bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

    [[nodiscard]] bool done() const { return at_ == end_; }

    bool ReadVarint(uint64_t& value) {
        value = 0;
        for (uint32_t shift = 0; shift < 7 * kMaxVarintBytes && at_ != end_; shift += 7) {
            const auto byte = static_cast<unsigned char>(*at_++);
            value |= static_cast<uint64_t>(byte & 0x7fU) << shift;
            if (byte < 0x80U) {
                return true;
            }
        }
        return false;
    }
    bool ReadFixed64(uint64_t& value) {
        if (end_ - at_ < 8) {
            return false;
        }
        value = 0;
        for (uint32_t i = 0; i < 8; ++i) {
            value |= static_cast<uint64_t>(static_cast<unsigned char>(*at_++)) << (8 * i);
        }
        return true;
    }
    bool ReadBytes(std::string_view& bytes) {
        uint64_t size = 0;
        if (!ReadVarint(size) || size > static_cast<uint64_t>(end_ - at_)) {
            return false;
        }
        bytes = std::string_view(at_, static_cast<std::size_t>(size));
        at_ += size;
        return true;
    }
    /// Passes over a field that a later version of the record added.
    bool Skip(uint32_t wire_type) {
        uint64_t number = 0;
        std::string_view bytes;
        switch (static_cast<WireType>(wire_type)) {
            case WireType::kVarint:
                return ReadVarint(number);
            case WireType::kFixed64:
                return ReadFixed64(number);
            case WireType::kBytes:
                return ReadBytes(bytes);
            case WireType::kFixed32:
                if (end_ - at_ < 4) {
                    return false;
                }
                at_ += 4;
                return true;
        }
        return false;
    }

 private:
    const char* at_;
    const char* end_;
};

}  // namespace millrace::codec
