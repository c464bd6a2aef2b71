// Messages of pgoutput, one after another, decoded and assembled into changes.
#include <memory>
#include <optional>
#include <string>

#include "connectors/postgres/change_assembler.h"
#include "connectors/postgres/pgoutput_decoder.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using namespace millrace;

absl::StatusOr<sdk::SchemaPtr> SchemaOf(const postgres::Relation& relation) {
    auto schema = std::make_shared<sdk::TableSchema>();
    schema->schema = relation.schema;
    schema->table = relation.table;
    int ordinal = 0;
    for (const postgres::RelationColumn& column : relation.columns) {
        sdk::Column& made = schema->columns.emplace_back();
        made.name = column.name;
        made.key_ordinal = column.key ? ++ordinal : 0;
    }
    schema->append_only = ordinal == 0;
    schema->id = sdk::ComputeSchemaId(*schema);
    return schema;
}

size_t Touch(sdk::RowView row) {
    size_t sum = 0;
    for (const sdk::Cell& cell : row) {
        if (cell.is_value()) {
            for (const char c : cell.text()) {
                sum += static_cast<unsigned char>(c);
            }
        }
    }
    return sum;
}

class Reader final : public sdk::ChangeHandler {
 public:
    absl::Status OnChange(const sdk::ChangeEvent& event) override {
        const size_t columns = event.schema->columns.size();
        fuzz::Require(event.after.empty() || event.after.size() == columns, "a new row has every column");
        fuzz::Require(event.before.empty() || event.before.size() == columns, "an old row has every column");
        fuzz::Require(!last_ || *last_ < event.position, "positions grow within a transaction");
        last_ = event.position;
        touched_ += Touch(event.after) + Touch(event.before);
        return absl::OkStatus();
    }
    absl::Status OnCommit(uint64_t /*commit*/, uint64_t /*end*/, int64_t /*time*/) override {
        last_.reset();
        return absl::OkStatus();
    }
    absl::Status OnProgress(uint64_t /*position*/) override { return absl::OkStatus(); }
    [[nodiscard]] size_t touched() const { return touched_; }

 private:
    std::optional<sdk::Position> last_;
    size_t touched_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    fuzz::Input input(data, size);
    postgres::ChangeAssembler assembler(SchemaOf);
    postgres::PgoutputMessage message;
    Reader reader;
    while (!input.rest().empty()) {
        const std::string bytes(input.Piece());  // of its own, so that a read beyond it is seen
        if (postgres::DecodePgoutput(bytes, message).ok() && !assembler.Handle(message, reader).ok()) {
            break;
        }
    }
    volatile size_t touched = reader.touched();
    (void)touched;
    return 0;
}
