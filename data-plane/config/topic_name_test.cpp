#include "data-plane/config/topic_name.h"

#include <rapidcheck.h>

#include <regex>
#include <set>

#include "gtest/gtest.h"

namespace millrace::config {
namespace {

bool Matches(const std::string& topic) {
    return std::regex_search(topic, std::regex(TableTopicPattern("millrace", "shop"), std::regex::extended));
}

TEST(TopicName, PlainNamesStayReadable) {
    EXPECT_EQ(TableTopic("millrace", "shop", "public", "orders"), "millrace.shop.public.orders");
    EXPECT_EQ(TableTopic("millrace", "shop", "public", "order_items"), "millrace.shop.public.order_5fitems");
    EXPECT_EQ(TableTopic("millrace", "shop", "Sales-EU", "a.b c"), "millrace.shop.Sales-EU.a_2eb_20c");
}

TEST(TopicName, AnySchemaAndTableComeBack) {
    EXPECT_TRUE(rc::check(
        "TableOfTopic(TableTopic(t)) == t", [](const std::string& schema, const std::string& table) {
            const std::string topic = TableTopic("millrace", "shop", schema, table);
            RC_ASSERT(topic.size() <= 200U);
            RC_ASSERT(topic.find_first_not_of(
                          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
                      std::string::npos);
            RC_ASSERT(Matches(topic));
            const auto back = TableOfTopic("millrace", "shop", topic);
            if (topic.find("_h") == std::string::npos) {
                RC_ASSERT(back.has_value());
                RC_ASSERT(back->schema == schema);
                RC_ASSERT(back->table == table);
            } else {
                RC_ASSERT(!back.has_value());
            }
        }));
}

TEST(TopicName, LongNamesGetAHashAndStayApart) {
    std::set<std::string> topics;
    const std::string umlauts(60, '\xc3');
    for (const char* end : {"1", "2", "3"}) {
        for (const std::string& schema : {std::string("public"), umlauts, umlauts + umlauts}) {
            const std::string topic = TableTopic("millrace", "shop", schema, umlauts + end);
            EXPECT_LE(topic.size(), 200U);
            EXPECT_TRUE(Matches(topic)) << topic;
            EXPECT_EQ(TableOfTopic("millrace", "shop", topic), std::nullopt);
            topics.insert(topic);
        }
    }
    EXPECT_EQ(topics.size(), 9U);
}

TEST(TopicName, OtherTopicsAreNoTables) {
    for (const char* topic :
         {"millrace.shop.__control", "millrace.shop.__schemas", "millrace.shop2.public.orders",
          "millraceXshop.public.orders", "other.millrace.shop.public.orders", "millrace.shop.public",
          "millrace.shop.public.orders.x", "millrace.shop.public.", "millrace.shop"}) {
        EXPECT_FALSE(Matches(topic)) << topic;
        EXPECT_EQ(TableOfTopic("millrace", "shop", topic), std::nullopt) << topic;
    }
    for (const char* topic :
         {"millrace.shop.public.or_61ders", "millrace.shop.public.a_2E", "millrace.shop.public.a_5"}) {
        EXPECT_EQ(TableOfTopic("millrace", "shop", topic), std::nullopt) << topic;
    }
}

TEST(TopicName, NamesBesideTheTables) {
    EXPECT_EQ(ControlTopic("millrace", "shop"), "millrace.shop.__control");
    EXPECT_EQ(SchemaTopic("millrace", "shop"), "millrace.shop.__schemas");
    EXPECT_NE(AssignmentGroup("millrace", "shop"), AppliedGroup("millrace", "shop"));
    EXPECT_EQ(TransactionalId("millrace", "shop"), "millrace.shop");
}

}  // namespace
}  // namespace millrace::config
