#include "data-plane/columns/masked_chunks.h"

#include <string>
#include <utility>
#include <vector>

#include "base/keyed_hash.h"
#include "base/status.h"
#include "data-plane/columns/column_mask.h"

namespace millrace::columns {
namespace {

class MaskedChunks final : public sdk::ChunkReader {
 public:
    MaskedChunks(std::unique_ptr<sdk::ChunkReader> reader, const ColumnRules& rules, std::unique_ptr<base::KeyedHash> hash)
        : reader_(std::move(reader)),
          // A chunk has the shape that its own snapshot saw, so that no older one can come.
          mask_(rules, std::move(hash), [this](const sdk::TableSchema&) { return present_; }) {}

    absl::StatusOr<sdk::Sight> Look() override { return reader_->Look(); }
    void Cancel() override { reader_->Cancel(); }
    absl::StatusOr<std::vector<sdk::KeyTexts>> Split(int pieces) override { return reader_->Split(pieces); }

    absl::StatusOr<sdk::Chunk> Read(const sdk::ChunkRequest& request) override {
        ASSIGN_OR_RETURN(sdk::Chunk chunk, reader_->Read(request));
        if (chunk.schema == nullptr) {
            return chunk;
        }
        RETURN_IF_ERROR(Mask(chunk));
        return chunk;
    }

 private:
    absl::Status Mask(sdk::Chunk& chunk) {
        present_ = std::exchange(chunk.left_out, {});
        for (const sdk::Column& column : chunk.schema->columns) {
            present_.push_back(column.name);
        }
        if (shape_ == nullptr || shape_->id != chunk.schema->id || present_ != present_in_shape_) {
            shape_ = chunk.schema;
            present_in_shape_ = present_;
        }
        sdk::ChangeEvent event;
        event.op = sdk::Op::kRead;
        event.schema = shape_;
        ASSIGN_OR_RETURN(chunk.schema, mask_.SchemaOf(shape_));
        sdk::RowBuffer masked(chunk.schema->columns.size());
        for (size_t row = 0; row < chunk.rows.size(); ++row) {
            event.after = chunk.rows.Row(row);
            ASSIGN_OR_RETURN(const sdk::ChangeEvent* left, mask_.Apply(event));
            masked.Add(left->after);
        }
        chunk.rows = std::move(masked);
        return absl::OkStatus();
    }

    const std::unique_ptr<sdk::ChunkReader> reader_;
    std::vector<std::string> present_;
    ColumnMask mask_;
    /// Of the chunk before: the mask knows shapes by their address.
    sdk::SchemaPtr shape_;
    std::vector<std::string> present_in_shape_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<sdk::ChunkReader>> MaskChunks(std::unique_ptr<sdk::ChunkReader> reader, const ColumnRules& rules,
                                                             const base::Secret& hash_key) {
    std::unique_ptr<base::KeyedHash> hash;
    if (!hash_key.empty()) {
        ASSIGN_OR_RETURN(hash, base::KeyedHash::Make(hash_key));
    }
    return std::make_unique<MaskedChunks>(std::move(reader), rules, std::move(hash));
}

}  // namespace millrace::columns
