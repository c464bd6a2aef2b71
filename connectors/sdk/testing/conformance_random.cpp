#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "connectors/sdk/testing/destination_conformance.h"

// Random folded batches against a model that is too simple to be wrong.

namespace millrace::sdk::testing {
namespace {

constexpr int kKeys = 30;
constexpr int kValues = 4;

using Values = std::vector<std::optional<std::string>>;

/// What the table should hold, and batches that change it. A batch reads the state before it and replaces
/// rows.
class Model final {
 public:
    explicit Model(unsigned seed) : random_(seed) {
        std::vector<Column> columns = {MakeColumn("k", "bigint", 1)};
        for (int i = 0; i < kValues; ++i) {
            columns.push_back(MakeColumn("v" + std::to_string(i), i == 0 ? "integer" : "text"));
        }
        schema_ = MakeSchema("random", columns);
    }

    Batch Step(int64_t offset) {
        const std::map<int, Values> before = state_;
        BatchBuilder batch(schema_);
        holes_ = 0;
        if (Chance(30)) {
            state_.clear();
            batch.TruncateFirst();
            truncated_ = true;
        }
        const int rows = Below(Chance(4) ? 80 : 12);
        std::set<int> written;
        for (int i = 0; i < rows; ++i) {
            if (const int key = Below(kKeys); written.insert(key).second) {
                Write(batch, truncated_ ? std::map<int, Values>() : before, key);
            }
        }
        truncated_ = false;
        return batch.Build(offset, offset + 1);
    }

    [[nodiscard]] const SchemaPtr& schema() const { return schema_; }
    [[nodiscard]] int64_t holes() const { return holes_; }

    [[nodiscard]] std::vector<TestDatabase::Row> Rows() const {
        std::vector<TestDatabase::Row> rows;
        for (const auto& [key, values] : state_) {
            TestDatabase::Row& row = rows.emplace_back();
            row.emplace_back(std::to_string(key));
            row.insert(row.end(), values.begin(), values.end());
        }
        std::sort(rows.begin(), rows.end());
        return rows;
    }

 private:
    int Below(int limit) { return std::uniform_int_distribution<int>(0, limit - 1)(random_); }
    bool Chance(int one_in) { return Below(one_in) == 0; }

    Values NewValues() {
        Values values;
        for (int i = 0; i < kValues; ++i) {
            if (Chance(6)) {
                values.emplace_back();
            } else {
                values.emplace_back(std::to_string(Below(1000)));
            }
        }
        return values;
    }

    void Write(BatchBuilder& batch, const std::map<int, Values>& before, int key) {
        const std::string name = std::to_string(key);
        if (Chance(4)) {
            batch.Gone({name});
            state_.erase(key);
            return;
        }
        Values values = NewValues();
        const int source = Chance(3) ? Below(kKeys) : key;
        const auto old = before.find(source);
        TestRow row = {name};
        const bool full = Chance(2);
        for (int i = 0; i < kValues; ++i) {
            auto& value = values[static_cast<size_t>(i)];
            if (full || Chance(2)) {
                row.emplace_back(value);
                continue;
            }
            row.push_back(kUnchanged);
            holes_ += old == before.end() ? 1 : 0;
            value = old == before.end() ? std::nullopt : old->second[static_cast<size_t>(i)];
        }
        if (source != key) {
            batch.Moved({std::to_string(source)}, row);
        } else if (full) {
            batch.Full(row);
        } else {
            batch.Partial(row);
        }
        state_[key] = values;
    }

    std::mt19937 random_;
    SchemaPtr schema_;
    std::map<int, Values> state_;
    bool truncated_ = false;
    int64_t holes_ = 0;
};

TEST_P(DestinationConformance, RandomBatchesAgreeWithTheModel) {
    constexpr unsigned kSeed = 20'240'229;
    Model model(kSeed);
    auto writer = Open(model.schema());
    ASSERT_NE(writer, nullptr);
    for (int64_t step = 0; step < 150; ++step) {
        const Batch batch = model.Step(step);
        const ApplyResult result = Apply(*writer, batch);
        ASSERT_EQ(result.holes, model.holes()) << "step " << step << ", seed " << kSeed;
        if (step % 10 == 0) {
            ASSERT_TRUE(Apply(*writer, batch).already_applied);
            writer = Open(model.schema());
        }
        ASSERT_EQ(ReadRows(*model.schema()), model.Rows()) << "step " << step << ", seed " << kSeed;
    }
}

}  // namespace
}  // namespace millrace::sdk::testing
