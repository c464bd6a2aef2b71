// topic-dump: prints what a pipeline's topics hold, as an outside reader with isolation.level=read_committed
// sees it, one JSON line a record, from given offsets up to the end at the time of the call.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "data-plane/bus/compacted_topic.h"
#include "data-plane/bus/table_reader.h"
#include "data-plane/bus/topic_admin.h"
#include "data-plane/codec/change_pack.h"
#include "data-plane/codec/event_codec.h"
#include "data-plane/codec/event_encoder.h"
#include "data-plane/codec/record_parts.h"
#include "data-plane/config/topic_name.h"
#include "millrace/v1/change_event.pb.h"

namespace {

using namespace millrace;
using Clock = std::chrono::steady_clock;

constexpr size_t kShownKeyBytes = 64;

std::string Hex(std::string_view bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string out;
    for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        out += kDigits[byte >> 4U];
        out += kDigits[byte & 0xfU];
    }
    return out;
}

// Long keys as their beginning and a hash.
std::string ShownKey(std::string_view key) {
    if (key.size() <= kShownKeyBytes) {
        return Hex(key);
    }
    return Hex(key.substr(0, kShownKeyBytes)) + "~" + std::to_string(std::hash<std::string_view>{}(key));
}

std::string_view Name(sdk::Op op) {
    switch (op) {
        case sdk::Op::kInsert:
            return "insert";
        case sdk::Op::kUpdate:
            return "update";
        case sdk::Op::kDelete:
            return "delete";
        case sdk::Op::kTruncate:
            return "truncate";
        case sdk::Op::kRead:
            return "read";
        case sdk::Op::kResync:
            return "resync";
        case sdk::Op::kResyncEnd:
            return "resync end";
        case sdk::Op::kResyncCancel:
            return "resync cancel";
    }
    return "?";
}

class Dump final {
 public:
    Dump(config::KafkaConfig kafka, std::string pipeline, bool values)
        : kafka_(std::move(kafka)),
          pipeline_(std::move(pipeline)),
          values_(values),
          control_(config::ControlTopic(kafka_.topic_prefix, pipeline_)) {}

    absl::Status Run(const std::map<std::string, int64_t>& from, std::chrono::seconds timeout) {
        const auto deadline = Clock::now() + timeout;
        auto admin = bus::TopicAdmin::Create(kafka_);
        if (!admin.ok()) {
            return admin.status();
        }
        const auto listed = (*admin)->ListTopics(kafka_.topic_prefix + "." + pipeline_ + ".", timeout);
        if (!listed.ok()) {
            return listed.status();
        }
        std::vector<std::string> topics;
        const std::string schemas = config::SchemaTopic(kafka_.topic_prefix, pipeline_);
        for (const std::string& topic : *listed) {
            // Schemas are looked up when a record needs one; as bytes they are shown like all else.
            if (topic != schemas || values_) {
                topics.push_back(topic);
            }
        }
        const auto ends = (*admin)->EndOffsets(topics, timeout);
        if (!ends.ok()) {
            return ends.status();
        }
        return ReadTo(*ends, from, deadline);
    }

 private:
    absl::Status ReadTo(const std::map<std::string, int64_t>& ends,
                        const std::map<std::string, int64_t>& from, Clock::time_point deadline) {
        auto reader = bus::TableReader::Create(kafka_, kafka_.topic_prefix + "." + pipeline_ + ".topic-dump");
        if (!reader.ok()) {
            return reader.status();
        }
        std::map<std::string, int64_t> left;
        for (const auto& [topic, end] : ends) {
            const auto begin = from.find(topic);
            const int64_t offset = begin == from.end() ? 0 : begin->second;
            if (offset < end) {
                left.emplace(topic, end);
                if (const absl::Status status = (*reader)->Add(topic, offset); !status.ok()) {
                    return status;
                }
            }
        }
        while (!left.empty()) {
            if (Clock::now() > deadline) {
                return absl::DeadlineExceededError(
                    left.begin()->first + " was not read to its end in time; a transaction may be open");
            }
            for (const bus::TopicEvent& event : (*reader)->Poll(std::chrono::milliseconds(200), 5000)) {
                if (const absl::Status status = Take(event, left); !status.ok()) {
                    return status;
                }
            }
        }
        return absl::OkStatus();
    }

    absl::Status Take(const bus::TopicEvent& event, std::map<std::string, int64_t>& left) {
        const auto topic = left.find(event.topic);
        if (topic == left.end()) {
            return absl::OkStatus();  // appended after the call
        }
        switch (event.kind) {
            case bus::TopicEvent::Kind::kError:
                return event.status;
            case bus::TopicEvent::Kind::kEnd:
                if (event.record.offset >= topic->second) {
                    std::printf(R"({"topic":"%s","end":%lld})"
                                "\n",
                                event.topic.c_str(), static_cast<long long>(event.record.offset));
                    left.erase(topic);
                }
                return absl::OkStatus();
            case bus::TopicEvent::Kind::kRecord:
                if (values_) {
                    PrintBytes(event);
                    return absl::OkStatus();
                }
                return event.topic == control_ ? PrintPosition(event.record)
                                               : TakeRecord(event.topic, event.record);
        }
        return absl::OkStatus();
    }

    // Key, headers and value as they are.
    static void PrintBytes(const bus::TopicEvent& event) {
        std::printf("%s ", event.topic.c_str());
        std::fwrite(event.record.key.data(), 1, event.record.key.size(), stdout);
        for (const bus::RecordHeader& header : event.record.headers) {
            std::fwrite(header.value.data(), 1, header.value.size(), stdout);
        }
        std::fwrite(event.record.value.data(), 1, event.record.value.size(), stdout);
        std::printf("\n");
    }

    absl::Status PrintPosition(const bus::Record& record) {
        if (record.key != "position") {
            return absl::OkStatus();
        }
        v1::PublisherPosition position;
        if (!position.ParseFromArray(record.value.data(), static_cast<int>(record.value.size()))) {
            return absl::DataLossError("the control topic holds a position that cannot be read");
        }
        std::printf(
            R"({"topic":"%s","offset":%lld,"op":"position","commit_lsn":%llu,"seq":%llu,"generation":%u,)"
            R"("end_lsn":%llu,"streaming":%s})"
            "\n",
            control_.c_str(), static_cast<long long>(record.offset),
            static_cast<unsigned long long>(position.commit_lsn()),
            static_cast<unsigned long long>(position.seq()), position.generation(),
            static_cast<unsigned long long>(position.end_lsn()), position.streaming() ? "true" : "false");
        return absl::OkStatus();
    }

    // Asides are passed over. A split record is shown as one, at the offset of its last part.
    absl::Status TakeRecord(const std::string& topic, const bus::Record& record) {
        if (!record.Header(codec::kAsideHeader).empty()) {
            return absl::OkStatus();
        }
        codec::PartJoiner& joiner = joiners_[topic];
        const std::string_view header = record.Header(codec::kPartHeader);
        if (header.empty()) {
            return joiner.empty() ? PrintChange(topic, record)
                                  : absl::DataLossError(topic + ": a split record has no end");
        }
        const auto part = codec::ParsePartHeader(header);
        const absl::Status status = part.ok() ? joiner.Add(*part, record.value) : part.status();
        if (!status.ok()) {
            return absl::Status(status.code(), topic + " offset " + std::to_string(record.offset) + ": " +
                                                   std::string(status.message()));
        }
        if (!joiner.complete()) {
            return absl::OkStatus();
        }
        const std::string value = joiner.Take();
        bus::Record whole = record;
        whole.value = value;
        return PrintChange(topic, whole);
    }

    absl::Status PrintChange(const std::string& topic, const bus::Record& record) {
        codec::PackReader changes(record.value);
        std::string_view change;
        absl::Status status;
        for (int index = 0; status.ok() && changes.Next(change); ++index) {
            status = codec_->Decode(change, [this](uint64_t id) { return Schema(id); }, decoded_);
            if (status.ok()) {
                PrintEvent(topic, record.offset, index);
            }
        }
        status.Update(changes.status());
        return status.ok() ? status
                           : absl::Status(status.code(), topic + " offset " + std::to_string(record.offset) + ": " +
                                                             std::string(status.message()));
    }

    // `index`: among the changes of one record.
    void PrintEvent(const std::string& topic, int64_t offset, int index) const {
        const sdk::ChangeEvent& event = decoded_.event;
        std::string key;
        codec::EncodeEventKey(event, key);
        std::printf(
            R"({"topic":"%s","offset":%lld,"index":%d,"op":"%s","commit_lsn":%llu,"seq":%llu,"generation":%u,"xid":%u,)"
            R"("key":"%s"})"
            "\n",
            topic.c_str(), static_cast<long long>(offset), index, std::string(Name(event.op)).c_str(),
            static_cast<unsigned long long>(event.position.commit),
            static_cast<unsigned long long>(event.position.seq), event.generation, event.xid,
            ShownKey(key).c_str());
    }

    absl::StatusOr<sdk::SchemaPtr> Schema(uint64_t id) {
        if (const auto known = schemas_.find(id); known != schemas_.end()) {
            return known->second;
        }
        const auto records = bus::ReadCompactedTopic(
            kafka_, config::SchemaTopic(kafka_.topic_prefix, pipeline_), std::chrono::seconds(20));
        if (!records.ok()) {
            return records.status();
        }
        for (const auto& [key, bytes] : *records) {
            auto schema = codec::DecodeSchema(bytes);
            if (!schema.ok()) {
                return schema.status();
            }
            const uint64_t schema_id = (*schema)->id;
            schemas_[schema_id] = *std::move(schema);
        }
        const auto found = schemas_.find(id);
        if (found == schemas_.end()) {
            return absl::DataLossError("its schema " + codec::SchemaKey(id) + " is not in the schema topic");
        }
        return found->second;
    }

    const config::KafkaConfig kafka_;
    const std::string pipeline_;
    const bool values_;
    const std::string control_;
    const std::unique_ptr<codec::EventCodec> codec_ = codec::MakeMillraceCodec();
    codec::DecodedEvent decoded_;
    std::map<std::string, codec::PartJoiner> joiners_;
    std::map<uint64_t, sdk::SchemaPtr> schemas_;
};

// Lines "<topic> <offset>".
std::map<std::string, int64_t> ReadOffsets(const std::string& file) {
    std::map<std::string, int64_t> offsets;
    std::ifstream in(file);
    std::string topic;
    int64_t offset = 0;
    while (in >> topic >> offset) {
        offsets[topic] = offset;
    }
    return offsets;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("Prints the records of a pipeline's table topics and control topic, one JSON line each.",
                 "topic-dump");
    millrace::config::KafkaConfig kafka;
    std::string pipeline;
    std::string offsets;
    int seconds = 30;
    bool values = false;
    app.add_option("--kafka", kafka.brokers, "HOST:PORT of a broker")->required();
    app.add_option("--pipeline", pipeline, "Id of the pipeline")->required();
    app.add_option("--prefix", kafka.topic_prefix, "First part of every topic's name")->capture_default_str();
    app.add_option("--from", offsets,
                   "File of lines \"<topic> <offset>\": where to begin; others begin at 0");
    app.add_flag("--values", values, "The bytes of every record instead of what they mean, of schemas too");
    app.add_option("--timeout", seconds, "Seconds to reach the end")->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    const absl::Status status =
        Dump(kafka, pipeline, values).Run(ReadOffsets(offsets), std::chrono::seconds(seconds));
    if (!status.ok()) {
        std::fflush(stdout);
        std::fprintf(stderr, "topic-dump: %s\n", std::string(status.message()).c_str());
        return 1;
    }
    return 0;
}
