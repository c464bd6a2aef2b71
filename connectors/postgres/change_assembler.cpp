#include "connectors/postgres/change_assembler.h"

#include "base/defect.h"
#include "base/status.h"
#include "base/text.h"

namespace millrace::postgres {
namespace {

using Kind = PgoutputMessage::Kind;

absl::Status OutOfOrder(std::string_view what) {
    return base::MakeError(absl::StatusCode::kDataLoss, "PGOUTPUT_ORDER",
                           base::Concat("the replication stream carries ", what), "Restart the pipeline.");
}

// The server leaves out-of-line values that did not change out of the new row; under identity FULL, or in a
// key, the old tuple has them. An old tuple may hold NULL in columns that it does not carry, and an unchanged
// value is never NULL.
void FillUnchanged(PgoutputMessage& message) {
    if (message.old_row.empty()) {
        return;
    }
    for (size_t i = 0; i < message.new_row.size(); ++i) {
        if (message.new_row[i].is_unchanged() && message.old_row[i].is_value()) {
            message.new_row[i] = message.old_row[i];
        }
    }
}

}  // namespace

absl::Status ChangeAssembler::Handle(PgoutputMessage& message, sdk::ChangeHandler& handler) {
    switch (message.kind) {
        case Kind::kBegin:
            return Begin(message);
        case Kind::kCommit:
            return Commit(message, handler);
        case Kind::kRelation:
            relations_.Put(message.relation);
            return absl::OkStatus();
        case Kind::kInsert:
        case Kind::kUpdate:
        case Kind::kDelete:
            return Change(message, handler);
        case Kind::kTruncate:
            return Truncate(message, handler);
        case Kind::kOrigin:
        case Kind::kType:
        // Heartbeats count by their commit alone; other applications' messages are not changes of rows.
        case Kind::kMessage:
            return absl::OkStatus();
    }
    return OutOfOrder("a message of unknown kind");
}

absl::Status ChangeAssembler::Begin(const PgoutputMessage& message) {
    if (in_transaction_) {
        return OutOfOrder("a BEGIN inside a transaction");
    }
    in_transaction_ = true;
    event_.position = {.commit = message.lsn, .seq = 0};
    event_.commit_time_us = message.commit_time_us;
    event_.xid = message.xid;
    return absl::OkStatus();
}

absl::Status ChangeAssembler::Commit(const PgoutputMessage& message, sdk::ChangeHandler& handler) {
    if (!in_transaction_ || message.lsn != event_.position.commit) {
        return OutOfOrder("a COMMIT of another transaction");
    }
    in_transaction_ = false;
    return handler.OnCommit(message.lsn, message.end_lsn, message.commit_time_us);
}

absl::Status ChangeAssembler::Change(PgoutputMessage& message, sdk::ChangeHandler& handler) {
    if (!in_transaction_) {
        return OutOfOrder("a change outside any transaction");
    }
    ASSIGN_OR_RETURN(const sdk::SchemaPtr* schema, relations_.Find(message.relation_oid));
    const size_t columns = (*schema)->columns.size();
    if ((!message.new_row.empty() && message.new_row.size() != columns) ||
        (!message.old_row.empty() && message.old_row.size() != columns)) {
        return OutOfOrder(
            base::Concat("a row of ", (*schema)->DisplayName(), " with another number of columns"));
    }
    FillUnchanged(message);
    event_.op = message.kind == Kind::kInsert   ? sdk::Op::kInsert
                : message.kind == Kind::kUpdate ? sdk::Op::kUpdate
                                                : sdk::Op::kDelete;
    if (event_.schema != *schema) {
        event_.schema = *schema;
    }
    event_.after = message.kind == Kind::kDelete ? sdk::RowView() : sdk::RowView(message.new_row);
    event_.before = message.kind == Kind::kInsert ? sdk::RowView() : sdk::RowView(message.old_row);
    if (event_.op == sdk::Op::kUpdate && MILLRACE_DEFECT("lose-old-key", 1)) {
        event_.before = {};
    }
    return Emit(handler);
}

absl::Status ChangeAssembler::Truncate(const PgoutputMessage& message, sdk::ChangeHandler& handler) {
    if (!in_transaction_) {
        return OutOfOrder("a TRUNCATE outside any transaction");
    }
    for (const uint32_t oid : message.truncated) {
        ASSIGN_OR_RETURN(const sdk::SchemaPtr* schema, relations_.Find(oid));
        event_.op = sdk::Op::kTruncate;
        event_.schema = *schema;
        event_.after = {};
        event_.before = {};
        RETURN_IF_ERROR(Emit(handler));
    }
    return absl::OkStatus();
}

absl::Status ChangeAssembler::Emit(sdk::ChangeHandler& handler) {
    const absl::Status status = handler.OnChange(event_);
    ++event_.position.seq;
    ++events_;
    return status;
}

}  // namespace millrace::postgres
