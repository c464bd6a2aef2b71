#include "data-plane/columns/masked_source.h"

#include <algorithm>
#include <utility>

#include "base/keyed_hash.h"
#include "base/status.h"
#include "data-plane/columns/column_mask.h"
#include "data-plane/columns/column_rules.h"
#include "data-plane/columns/masked_chunks.h"

namespace millrace::columns {
namespace {

class MaskingHandler final : public sdk::ChangeHandler {
 public:
    MaskingHandler(ColumnMask& mask, sdk::ChangeHandler& next) : mask_(mask), next_(next) {}

    absl::Status OnChange(const sdk::ChangeEvent& event) override {
        ASSIGN_OR_RETURN(const sdk::ChangeEvent* masked, mask_.Apply(event));
        return next_.OnChange(*masked);
    }
    absl::Status OnCommit(uint64_t commit, uint64_t end, int64_t commit_time_us) override {
        return next_.OnCommit(commit, end, commit_time_us);
    }
    absl::Status OnProgress(uint64_t position) override { return next_.OnProgress(position); }

 private:
    ColumnMask& mask_;
    sdk::ChangeHandler& next_;
};

class MaskedSource final : public sdk::Source {
 public:
    MaskedSource(std::unique_ptr<sdk::Source> source, std::vector<config::ColumnRule> rules,
                 std::unique_ptr<base::KeyedHash> hash, const base::Secret& hash_key, std::string key_id)
        : source_(std::move(source)),
          rules_(std::move(rules)),
          hash_key_(hash_key),
          key_id_(std::move(key_id)),
          mask_(rules_, std::move(hash), [this](const sdk::TableSchema& table) { return Present(table); }) {}

    sdk::Findings Preflight(const sdk::TableSelection& selection) override;
    absl::StatusOr<std::vector<sdk::SourceTable>> ListTables(const sdk::TableSelection& selection) override;
    absl::StatusOr<std::vector<std::vector<std::string>>> ListColumns(
        const std::vector<sdk::SourceTable>& tables) override {
        return source_->ListColumns(tables);
    }
    absl::StatusOr<sdk::SchemaPtr> Describe(const sdk::SourceTable& table) override {
        ASSIGN_OR_RETURN(const sdk::SchemaPtr schema, source_->Describe(table));
        return mask_.SchemaOf(schema);
    }
    absl::StatusOr<int64_t> CopyTable(const sdk::SourceTable& table, uint64_t first_seq,
                                      sdk::ChangeHandler& handler) override {
        MaskingHandler masking(mask_, handler);
        return source_->CopyTable(table, first_seq, masking);
    }
    absl::StatusOr<int> Poll(sdk::ChangeHandler& handler, std::chrono::milliseconds timeout,
                             int max_events) override {
        MaskingHandler masking(mask_, handler);
        return source_->Poll(masking, timeout, max_events);
    }

    absl::StatusOr<sdk::SourceIdentity> Identify() override { return source_->Identify(); }
    absl::StatusOr<std::string> Place() override { return source_->Place(); }
    absl::Status Prepare(const std::vector<sdk::SourceTable>& tables) override {
        return source_->Prepare(tables);
    }
    absl::StatusOr<bool> HasSlot() override { return source_->HasSlot(); }
    absl::Status LockCopy() override { return source_->LockCopy(); }
    absl::StatusOr<uint64_t> BeginCopy(bool new_slot, std::chrono::milliseconds patience) override {
        return source_->BeginCopy(new_slot, patience);
    }
    absl::StatusOr<sdk::SchemaPtr> DescribeNow(const sdk::SourceTable& table) override {
        ASSIGN_OR_RETURN(const sdk::SchemaPtr schema, source_->DescribeNow(table));
        return schema == nullptr ? schema : mask_.SchemaOf(schema);
    }
    [[nodiscard]] std::string WhyCopyAnew(const sdk::TableSchema& before,
                                          const sdk::TableSchema& after) const override {
        return source_->WhyCopyAnew(before, after);
    }
    absl::StatusOr<bool> ReadsChunks(const sdk::SourceTable& table) override {
        return HidesKey(table) ? false : source_->ReadsChunks(table);
    }
    absl::StatusOr<std::unique_ptr<sdk::ChunkReader>> OpenChunks(const sdk::SourceTable& table) override {
        if (HidesKey(table)) {
            return nullptr;
        }
        ASSIGN_OR_RETURN(std::unique_ptr<sdk::ChunkReader> reader, source_->OpenChunks(table));
        return reader == nullptr || table.column_policy == 0 ? std::move(reader) : MaskChunks(std::move(reader), rules_, hash_key_);
    }
    absl::Status EndCopy() override { return source_->EndCopy(); }
    absl::Status Start(uint64_t end) override { return source_->Start(end); }
    void Acknowledge(uint64_t end) override { source_->Acknowledge(end); }
    absl::Status SendFeedback(bool now) override { return source_->SendFeedback(now); }
    absl::StatusOr<uint64_t> CurrentPosition() override { return source_->CurrentPosition(); }
    absl::Status Heartbeat() override { return source_->Heartbeat(); }
    absl::StatusOr<sdk::RetainedLog> Retained() override { return source_->Retained(); }
    absl::Status Remove() override { return source_->Remove(); }

 private:
    absl::StatusOr<std::vector<std::string>> Present(const sdk::TableSchema& table);
    /// Then a chunk's cursor would show what the rule hides, and a row that moved could not be found again by its new key.
    [[nodiscard]] bool HidesKey(const sdk::SourceTable& table) const {
        return table.column_policy != 0 && std::ranges::any_of(table.key, [&](const std::string& column) {
                   return rules_.Of(table.schema, table.table, column) != Treatment::kKeep;
               });
    }

    const std::unique_ptr<sdk::Source> source_;
    const ColumnRules rules_;
    /// Readers of chunks hash on threads of their own.
    const base::Secret hash_key_;
    const std::string key_id_;
    ColumnMask mask_;
};

sdk::Findings MaskedSource::Preflight(const sdk::TableSelection& selection) {
    sdk::Findings findings = source_->Preflight(selection);
    const auto tables = source_->ListTables(selection);
    const auto columns = tables.ok() ? source_->ListColumns(*tables) : tables.status();
    if (!columns.ok()) {
        return findings;  // the source's own checks say why
    }
    const sdk::Findings ours = rules_.Check(*tables, *columns);
    findings.insert(findings.end(), ours.begin(), ours.end());
    if (ours.empty()) {
        findings.push_back({"COLUMN_RULES", sdk::Severity::kOk, "every column rule fits its tables", "", ""});
    }
    return findings;
}

absl::StatusOr<std::vector<sdk::SourceTable>> MaskedSource::ListTables(const sdk::TableSelection& selection) {
    ASSIGN_OR_RETURN(std::vector<sdk::SourceTable> tables, source_->ListTables(selection));
    std::vector<sdk::SourceTable*> ruled;
    std::vector<sdk::SourceTable> asked;
    for (sdk::SourceTable& table : tables) {
        if (rules_.Match(table.schema, table.table)) {
            ruled.push_back(&table);
            asked.push_back(table);
        }
    }
    ASSIGN_OR_RETURN(const auto columns, source_->ListColumns(asked));
    for (size_t i = 0; i < ruled.size(); ++i) {
        sdk::SourceTable& table = *ruled[i];
        if (!columns[i].empty()) {
            RETURN_IF_ERROR(rules_.CheckTable(table, columns[i]));
        }
        table.column_policy = rules_.PolicyOf(table.schema, table.table, key_id_);
        for (const std::string& column : columns[i]) {
            if (rules_.Of(table.schema, table.table, column) == Treatment::kDrop) {
                table.excluded.push_back(column);
            }
        }
    }
    return tables;
}

absl::StatusOr<std::vector<std::string>> MaskedSource::Present(const sdk::TableSchema& table) {
    sdk::SourceTable asked;
    asked.schema = table.schema;
    asked.table = table.table;
    ASSIGN_OR_RETURN(auto columns, source_->ListColumns({asked}));
    return std::move(columns.front());
}

}  // namespace

absl::StatusOr<std::unique_ptr<sdk::Source>> MaskColumns(std::unique_ptr<sdk::Source> source,
                                                         std::vector<config::ColumnRule> rules,
                                                         const base::Secret& hash_key) {
    if (rules.empty()) {
        return source;
    }
    std::unique_ptr<base::KeyedHash> hash;
    std::string key_id;
    if (!hash_key.empty()) {
        ASSIGN_OR_RETURN(hash, base::KeyedHash::Make(hash_key));
        key_id.resize(base::KeyedHash::kHexBytes);
        RETURN_IF_ERROR(hash->Hex("key", key_id.data()));
    }
    return std::make_unique<MaskedSource>(std::move(source), std::move(rules), std::move(hash), hash_key,
                                          std::move(key_id));
}

}  // namespace millrace::columns
