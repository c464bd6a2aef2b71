#include "connectors/postgres/whole_reader.h"

#include <chrono>
#include <set>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "base/text.h"
#include "connectors/postgres/reading_transaction.h"
#include "connectors/postgres/session.h"

namespace millrace::postgres {
namespace {

/// A session's end waits for a table that is being opened.
constexpr std::chrono::milliseconds kLockPatience{1000};

absl::Status Ended() {
    return base::MakeError(absl::StatusCode::kAborted, "READING_ENDED",
                           "the transaction in which its rows were read has ended", "The table is read again by itself.");
}

}  // namespace

absl::StatusOr<std::unique_ptr<WholeReader>> WholeReader::Open(const base::PqParameters& parameters, const sdk::SourceTable& table) {
    ASSIGN_OR_RETURN(std::unique_ptr<base::PqConnection> session, ConnectSession(parameters));
    RETURN_IF_ERROR(base::Annotate(BeginReading(*session, table, kLockPatience), base::Concat("reading ", table.DisplayName())));
    ASSIGN_OR_RETURN(std::unique_ptr<base::PqConnection> outside, ConnectSession(parameters));
    return std::unique_ptr<WholeReader>(new WholeReader(std::move(session), std::move(outside), table));
}

void WholeReader::Cancel() {
    session_->Cancel();
}

absl::StatusOr<sdk::Sight> WholeReader::Look() {
    const std::unique_ptr<base::PqConnection> outside = std::exchange(outside_, nullptr);
    if (outside == nullptr) {
        return Ended();
    }
    ASSIGN_OR_RETURN(const std::set<uint32_t> running, RunningTransactions(*outside));
    ASSIGN_OR_RETURN(seen_, TakeSnapshot(*session_));
    sdk::Chunk shape;
    ASSIGN_OR_RETURN(const CatalogTable table, DescribeRead(*session_, table_, shape));
    shape_ = std::move(shape.schema);
    left_out_ = std::move(shape.left_out);
    query_ = base::Concat("COPY (SELECT ", ColumnList(table), " FROM ", FromClause(table, "whole"), ") TO STDOUT");
    ASSIGN_OR_RETURN(position_, LogPosition(*session_));
    ASSIGN_OR_RETURN(sdk::Sight sight, SightOf(*outside, running, seen_));
    begun_ = true;
    return sight;
}

absl::StatusOr<sdk::Chunk> WholeReader::Read(const sdk::ChunkRequest& request) {
    if (!begun_ || !session_->healthy()) {
        return Ended();
    }
    sdk::Chunk chunk;
    chunk.schema = shape_;
    chunk.left_out = left_out_;
    chunk.seen = seen_;
    chunk.high = position_;
    chunk.rows = sdk::RowBuffer(shape_->columns.size());
    if (absl::Status taken = Take(request, chunk); !taken.ok()) {
        begun_ = false;
        return session_->healthy() ? base::Annotate(taken, base::Concat("reading ", table_.DisplayName())) : Ended();
    }
    return chunk;
}

absl::Status WholeReader::Take(const sdk::ChunkRequest& request, sdk::Chunk& chunk) {
    if (!query_.empty()) {
        RETURN_IF_ERROR(session_->BeginCopyOut(std::exchange(query_, {})));
    }
    const auto add = [&](std::string_view line) -> absl::Status {
        RETURN_IF_ERROR(parser_.Parse(line, shape_->columns.size(), cells_));
        chunk.rows.Add(cells_);
        return absl::OkStatus();
    };
    while (static_cast<int64_t>(chunk.rows.size()) < request.max_rows && chunk.rows.bytes() < request.max_bytes) {
        ASSIGN_OR_RETURN(const bool more, session_->TakeCopyRow(add));
        if (!more) {
            chunk.complete = true;
            return absl::OkStatus();
        }
    }
    return absl::OkStatus();
}

}  // namespace millrace::postgres
