#include "data-plane/codec/change_pack.h"

#include "base/status.h"
#include "data-plane/codec/wire.h"

namespace millrace::codec {
namespace {

// Field 15 with a length: no ChangeRecord begins so, and no text of the form debezium-json.
constexpr char kChangeTag = 15 << 3 | 2;

}  // namespace

void AppendToPack(std::string_view change, std::string& pack) {
    char head[1 + kMaxVarintBytes] = {kChangeTag};
    WireWriter out(head + 1);
    out.PutVarint(change.size());
    pack.append(head, static_cast<std::size_t>(out.at() - head));
    pack.append(change);
}

PackReader::PackReader(std::string_view value)
    : left_(value), packed_(!value.empty() && value.front() == kChangeTag) {}

bool PackReader::Next(std::string_view& change) {
    if (!packed_) {
        // Also an empty value is a change to be decoded, and refused, once.
        change = left_;
        left_ = {};
        packed_ = true;
        return true;
    }
    if (left_.empty()) {
        return false;
    }
    WireReader in(left_.substr(1));
    if (left_.front() != kChangeTag || !in.ReadBytes(change)) {
        status_ = base::MakeError(absl::StatusCode::kDataLoss, "BAD_RECORD", "a record that holds several changes is malformed",
                                  "resync the table");
        return false;
    }
    left_.remove_prefix(static_cast<std::size_t>(change.data() + change.size() - left_.data()));
    return true;
}

}  // namespace millrace::codec
