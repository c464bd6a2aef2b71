#include "data-plane/codec/change_pack.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "base/status.h"
#include "data-plane/codec/event_codec.h"
#include "millrace/v1/change_event.pb.h"

namespace millrace::codec {
namespace {

std::vector<std::string> ReadAll(std::string_view value, absl::Status* status = nullptr) {
    PackReader reader(value);
    std::vector<std::string> changes;
    std::string_view change;
    while (reader.Next(change)) {
        changes.emplace_back(change);
    }
    if (status != nullptr) {
        *status = reader.status();
    } else {
        EXPECT_TRUE(reader.status().ok()) << reader.status();
    }
    return changes;
}

TEST(ChangePackTest, ChangesComeBackInTheirOrder) {
    const std::vector<std::string> changes = {"\x08\x01", std::string(300, 'x'), "\x08\x03"};
    std::string pack;
    for (const std::string& change : changes) {
        AppendToPack(change, pack);
    }
    EXPECT_EQ(ReadAll(pack), changes);
}

TEST(ChangePackTest, IsWhatTheGeneratedClassesWrite) {
    v1::ChangePack pack;
    pack.add_changes()->set_op(v1::ChangeRecord::OP_INSERT);
    pack.add_changes()->set_commit_lsn(77);
    std::string ours;
    for (const v1::ChangeRecord& change : pack.changes()) {
        AppendToPack(change.SerializeAsString(), ours);
    }
    EXPECT_EQ(ours, pack.SerializeAsString());
}

TEST(ChangePackTest, ARecordThatIsNoPackIsItsOnlyChange) {
    EXPECT_EQ(ReadAll("\x08\x01"), std::vector<std::string>{"\x08\x01"});
    EXPECT_EQ(ReadAll("{}"), std::vector<std::string>{"{}"});
    EXPECT_EQ(ReadAll(""), std::vector<std::string>{""});
}

TEST(ChangePackTest, NoEventBeginsLikeAPack) {
    const auto codec = MakeMillraceCodec();
    std::string key;
    std::string value;
    for (int op = static_cast<int>(sdk::Op::kInsert); op <= static_cast<int>(sdk::Op::kResyncCancel); ++op) {
        sdk::ChangeEvent event;
        event.op = static_cast<sdk::Op>(op);
        event.schema = std::make_shared<sdk::TableSchema>();
        codec->Encode(event, key, value);
        EXPECT_EQ(ReadAll(value), std::vector<std::string>{value});
    }
}

TEST(ChangePackTest, MalformedBytesAreRefusedAndNothingIsReadPastThem) {
    std::string pack;
    AppendToPack("first", pack);
    for (const std::string& tail : {std::string("\x7a\x05" "abc"), std::string("\x08\x01"), std::string("\x7a"),
                                    std::string("\x7a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")}) {
        absl::Status status;
        EXPECT_EQ(ReadAll(pack + tail, &status), std::vector<std::string>{"first"});
        EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
        EXPECT_EQ(base::ReasonOf(status), "BAD_RECORD");
    }
}

}  // namespace
}  // namespace millrace::codec
