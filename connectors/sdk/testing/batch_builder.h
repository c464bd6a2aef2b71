/// Makes schemas and batches for tests out of literals. Not for: production code.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "connectors/sdk/batch.h"
#include "connectors/sdk/schema.h"

namespace millrace::sdk::testing {

/// A cell as a test writes it: "text", nullptr for NULL, kUnchanged.
class TestCell final {
 public:
    TestCell(const char* text) : text_(text == nullptr ? std::nullopt : std::optional<std::string>(text)) {}
    TestCell(std::string text) : text_(std::move(text)) {}
    TestCell(std::nullptr_t) {}
    TestCell(std::optional<std::string> text) : text_(std::move(text)) {}
    static TestCell Unchanged() {
        TestCell cell(nullptr);
        cell.unchanged_ = true;
        return cell;
    }

    [[nodiscard]] bool unchanged() const { return unchanged_; }
    [[nodiscard]] const std::optional<std::string>& text() const { return text_; }

 private:
    std::optional<std::string> text_;
    bool unchanged_ = false;
};

inline const TestCell kUnchanged = TestCell::Unchanged();
using TestRow = std::vector<TestCell>;

/// "bigint" and so on as PostgreSQL spells it, with the logical type that its source gives it.
Column MakeColumn(std::string name, std::string source_type, int key_ordinal = 0);

/// A table of a "postgres" source; append-only when no column is in the key.
SchemaPtr MakeSchema(std::string table, std::vector<Column> columns, std::string schema = "shop");

/// Collects rows; Build seals them. Offsets go on from batch to batch of the same builder only when told.
class BatchBuilder final {
 public:
    explicit BatchBuilder(SchemaPtr schema);

    BatchBuilder& Full(const TestRow& row);
    BatchBuilder& Partial(const TestRow& row);
    /// A row that moved here from `source_key` (key cells in key order); full when nothing in it is
    /// unchanged.
    BatchBuilder& Moved(const TestRow& source_key, const TestRow& row);
    /// `key` in key order.
    BatchBuilder& Gone(const TestRow& key);
    BatchBuilder& TruncateFirst();
    BatchBuilder& Append();

    /// Covers the offsets [first, next).
    Batch Build(int64_t first, int64_t next);

 private:
    void AddRow(BatchRow row, const TestRow& cells);
    Cell Keep(const TestCell& cell);

    Batch batch_;
    std::shared_ptr<std::deque<std::string>> texts_ = std::make_shared<std::deque<std::string>>();
};

}  // namespace millrace::sdk::testing
