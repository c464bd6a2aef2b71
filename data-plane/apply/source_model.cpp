#include "data-plane/apply/source_model.h"

namespace millrace::apply {

std::optional<sdk::ChangeEvent> SourceModel::Make(Change change, int key, int other_key, int cells) {
    const std::string id = std::to_string(key);
    const std::string other = std::to_string(other_key);
    const bool there = rows_.contains(id);
    switch (change) {
        case Change::kInsert:
            return there ? std::nullopt : std::optional(Put(sdk::Op::kInsert, id, cells));
        case Change::kRead:
            return there ? std::nullopt : std::optional(Put(sdk::Op::kRead, id, cells));
        case Change::kDelete:
            return there ? std::optional(Delete(id)) : std::nullopt;
        case Change::kMove:
            return there && !rows_.contains(other) ? std::optional(Update(id, other, cells)) : std::nullopt;
        case Change::kTruncate:
            rows_.clear();
            return make_.Truncate();
        case Change::kUpdate:
            return there ? std::optional(Update(id, id, cells)) : std::nullopt;
    }
    return std::nullopt;
}

sdk::ChangeEvent SourceModel::Put(sdk::Op op, const std::string& id, int cells) {
    SampleRow row{id, Fresh(), Fresh(), Fresh()};
    if ((cells & 1) != 0) {
        row[2] = std::nullopt;
    }
    rows_[id] = row;
    return make_.Make(op, row, {});
}

sdk::ChangeEvent SourceModel::Delete(const std::string& id) {
    const SampleRow old = rows_.extract(id).mapped();
    return full_identity_ ? make_.Make(sdk::Op::kDelete, {}, old) : make_.Delete(id);
}

// Two bits of `cells` for each column: new value, NULL, or the same value, which is not sent where it is not
// NULL.
sdk::ChangeEvent SourceModel::Update(const std::string& from, const std::string& to, int cells) {
    const SampleRow old = rows_.extract(from).mapped();
    SampleRow row = old;
    SampleRow sent = old;
    row[0] = sent[0] = to;
    for (size_t c = 1; c < 4; ++c, cells >>= 2) {
        if ((cells & 3) == 0 || (stamped_ && c == 1)) {
            row[c] = sent[c] = Fresh();
        } else if ((cells & 3) == 1) {
            row[c] = sent[c] = std::nullopt;
        } else if (old[c]) {
            sent[c] = "~";
        }
    }
    rows_[to] = row;
    if (full_identity_) {
        return make_.Update(old, sent);
    }
    return from == to ? make_.Update(sent) : make_.Move(from, sent);
}

}  // namespace millrace::apply
