#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "control-plane/cli/render.h"

namespace millrace::cli {
namespace {

using nlohmann::ordered_json;

constexpr int kBarWidth = 20;

std::string Word(v1::BackfillStatus::State state) {
    return Lower(v1::BackfillStatus::State_Name(state).substr(6));
}

/// Nothing to be measured by: of chosen rows, or where the source cannot say how many there are.
bool HasShare(const v1::TableStatus& table) {
    return table.rows_estimated() > 0 && !table.backfill().chosen();
}

double Share(const v1::TableStatus& table) {
    return std::min(1.0, static_cast<double>(table.backfill().rows_read()) / static_cast<double>(table.rows_estimated()));
}

std::string Bar(const v1::TableStatus& table) {
    if (!HasShare(table)) {
        return "-";
    }
    const int done = static_cast<int>(Share(table) * kBarWidth);
    char percent[8];
    std::snprintf(percent, sizeof(percent), " %3.0f %%", Share(table) * 100);
    return "[" + std::string(static_cast<size_t>(done), '#') + std::string(static_cast<size_t>(kBarWidth - done), '.') + "]" + percent;
}

std::string Span(int64_t seconds) {
    return seconds < 120 ? std::to_string(seconds) + " s" : seconds < 7200 ? std::to_string(seconds / 60) + " min" : std::to_string(seconds / 3600) + " h";
}

std::string Remaining(const v1::BackfillStatus& backfill) {
    if (!backfill.has_remaining_most()) {
        return "-";
    }
    return Span(backfill.remaining_least().seconds()) + " to " + Span(backfill.remaining_most().seconds());
}

std::string Kind(const v1::BackfillStatus& backfill) {
    return backfill.chosen() ? "chosen rows" : backfill.resync() ? "resync" : "all rows";
}

}  // namespace

std::string RenderBackfills(const v1::PipelineStatus& status) {
    std::vector<std::vector<std::string>> rows{{"TABLE", "OF", "STATE", "PROGRESS", "ROWS", "READ", "CHUNKS", "RATE", "REMAINING"}};
    for (const v1::TableStatus& table : status.tables()) {
        if (!table.has_backfill()) {
            continue;
        }
        const v1::BackfillStatus& backfill = table.backfill();
        const bool runs = backfill.state() == v1::BackfillStatus::STATE_RUNNING;
        const std::string of = HasShare(table) ? " of about " + HumanCount(table.rows_estimated()) : "";
        rows.push_back({table.schema() + "." + table.table(), Kind(backfill), Word(backfill.state()), Bar(table),
                        HumanCount(backfill.rows_read()) + of, HumanBytes(backfill.bytes_read()), HumanCount(backfill.chunks()),
                        runs ? HumanCount(static_cast<int64_t>(backfill.rows_per_second())) + " rows/s" : "-", Remaining(backfill)});
    }
    return rows.size() == 1 ? "No rows that existed before are being read.\n" : RenderTable(rows);
}

std::string BackfillsAsJson(const v1::PipelineStatus& status) {
    ordered_json all = ordered_json::array();
    for (const v1::TableStatus& table : status.tables()) {
        if (!table.has_backfill()) {
            continue;
        }
        const v1::BackfillStatus& backfill = table.backfill();
        ordered_json one = {{"schema", table.schema()},
                            {"table", table.table()},
                            {"state", Word(backfill.state())},
                            {"resync", backfill.resync()},
                            {"chosen", backfill.chosen()},
                            {"rows_read", backfill.rows_read()},
                            {"rows_estimated", table.rows_estimated()},
                            {"bytes_read", backfill.bytes_read()},
                            {"chunks", backfill.chunks()},
                            {"rows_per_second", backfill.rows_per_second()}};
        if (backfill.has_remaining_most()) {
            one["remaining_seconds"] = {backfill.remaining_least().seconds(), backfill.remaining_most().seconds()};
        }
        all.push_back(std::move(one));
    }
    return ordered_json{{"backfills", std::move(all)}}.dump(2) + "\n";
}

}  // namespace millrace::cli
