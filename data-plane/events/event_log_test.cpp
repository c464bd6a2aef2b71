#include "data-plane/events/event_log.h"

#include <gtest/gtest.h>

namespace millrace::events {
namespace {

Event Held(const std::string& message) {
    return {.type = EventType::kTableHeld, .schema = "public", .table = "orders", .message = message};
}

std::vector<std::string> Messages(const std::vector<LoggedEvent>& events) {
    std::vector<std::string> messages;
    for (const LoggedEvent& logged : events) {
        messages.push_back(logged.event.message);
    }
    return messages;
}

TEST(EventLogTest, ACursorReadsEachEventOnceAndAFreshOneReadsAllAgain) {
    EventLog log("boot");
    const Recorder recorder(log, "shop");
    recorder.Record(Held("a"));
    recorder.Record(Held("b"));
    uint64_t cursor = 0;
    EXPECT_EQ(Messages(log.Read(cursor, 1)), std::vector<std::string>{"a"});
    recorder.Record(Held("c"));
    EXPECT_EQ(Messages(log.Read(cursor, 10)), (std::vector<std::string>{"b", "c"}));
    EXPECT_TRUE(log.Read(cursor, 10).empty());
    cursor = 0;
    EXPECT_EQ(log.Read(cursor, 10).size(), 3u);
}

TEST(EventLogTest, OldEventsMakeRoomAndIdsStayTheirOwn) {
    EventLog log("boot", 2);
    for (const char* message : {"a", "b", "c"}) {
        log.Add("shop", Held(message));
    }
    uint64_t cursor = 0;
    const auto events = log.Read(cursor, 10);
    EXPECT_EQ(Messages(events), (std::vector<std::string>{"b", "c"}));
    EXPECT_EQ(events[0].event.id, "boot-1");
    EXPECT_EQ(events[1].event.id, "boot-2");
    EXPECT_EQ(events[1].pipeline, "shop");
}

TEST(EventLogTest, AGivenIdIsKeptAndLongTextsAreCutBetweenCharacters) {
    EventLog log("boot");
    Event event = Held(std::string(8 * 1024 - 1, 'x') + "éé");
    event.id = "same";
    log.Add("shop", event);
    uint64_t cursor = 0;
    const auto events = log.Read(cursor, 1);
    EXPECT_EQ(events[0].event.id, "same");
    EXPECT_EQ(events[0].event.message, std::string(8 * 1024 - 1, 'x') + "…");
}

TEST(EventLogTest, ARecorderWithoutALogRecordsNothing) {
    Recorder().Record(Held("nowhere"));
}

}  // namespace
}  // namespace millrace::events
