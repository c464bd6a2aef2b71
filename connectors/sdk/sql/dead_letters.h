/// Values that a destination refused, taken out of their batch: pure. Not for: finding them (session.h),
/// keeping them (dead_letter_table.h).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "connectors/sdk/batch.h"
#include "connectors/sdk/sql/session.h"

namespace millrace::sql {

/// One value, or one whole row, that the destination could not hold.
struct DeadLetter final {
    /// The source's name; nullopt for a whole row, whose key could not be held.
    std::optional<std::string> column;
    /// See KeyText; "" in a table without a key.
    std::string key;
    /// The source's text; where `json`, a JSON text: of a whole row an object of its columns, of a cell whose
    /// characters the destination lacks a string.
    std::string value;
    bool json = false;
    std::string reason;
    sdk::Position position;
};

/// A JSON string in ASCII. Bytes that are no UTF-8 become \udc80 … \udcff.
std::string JsonText(std::string_view text);

/// The key of a row as a JSON object in ASCII, columns in key order: {"id":"42"}. "" without key columns.
std::string KeyText(const sdk::TableSchema& schema, const std::vector<int>& key_columns, sdk::RowView row);
/// The same of key cells in key order.
std::string KeyText(const sdk::TableSchema& schema, const std::vector<int>& key_columns,
                    const std::vector<sdk::Cell>& key);

/// Takes `refused` cells of the stage's own columns out of `batch`, in which SqlSession::FindRefused has
/// emptied them: returns a letter for each that `original` still holds, and removes the rows whose keys are
/// among them, keeping those as whole rows. `batch` is a copy of `original`.
std::vector<DeadLetter> TakeRefused(const std::vector<RefusedCell>& refused, const LoadTable& stage,
                                    const sdk::Batch& original, sdk::Batch& batch);

}  // namespace millrace::sql
