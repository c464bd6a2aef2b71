#include "base/log.h"

#include <unistd.h>

#include <atomic>
#include <cctype>
#include <chrono>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/status.h"
#include "base/text.h"
#include "spdlog/logger.h"
#include "spdlog/sinks/stdout_sinks.h"

namespace millrace::base {
namespace {

// The process has one stderr; this is its one owner.
struct Output final {
    Output() { logger.set_pattern("%v"); }
    spdlog::logger logger{"millrace", std::make_shared<spdlog::sinks::stderr_sink_mt>()};
    std::atomic<LogLevel> level{LogLevel::kInfo};
    std::atomic<bool> json{false};
};

Output& TheOutput() {
    // Never destroyed: threads may still log while the process exits.
    static Output& output = *new Output();
    return output;
}

std::string_view LevelName(LogLevel level) {
    switch (level) {
        case LogLevel::kDebug:
            return "debug";
        case LogLevel::kInfo:
            return "info";
        case LogLevel::kWarning:
            return "warning";
        case LogLevel::kError:
            return "error";
    }
    return "error";
}

std::string Timestamp() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
    const std::time_t seconds = micros / 1'000'000;
    std::tm utc{};
    ::gmtime_r(&seconds, &utc);
    char text[40];
    const size_t n = std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
    const std::string fraction = std::to_string(1'000'000 + micros % 1'000'000);
    return Concat(std::string_view(text, n), ".", fraction.substr(1), "Z");
}

std::string Json(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
    nlohmann::ordered_json line;
    line["ts"] = Timestamp();
    line["level"] = LevelName(level);
    line["msg"] = message;
    for (const LogField& field : fields) {
        // A field may not pass itself off as one of ours.
        const bool reserved = field.key == "ts" || field.key == "level" || field.key == "msg";
        line[Concat(reserved ? "field_" : "", field.key)] = field.value;
    }
    return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

bool NeedsQuotes(std::string_view value) {
    for (const char c : value) {
        const auto u = static_cast<unsigned char>(c);
        if (u <= ' ' || c == '"' || c == '=' || c == '\\' || u == 127) {
            return true;
        }
    }
    return value.empty();
}

void AppendTextValue(std::string& line, std::string_view value) {
    if (!NeedsQuotes(value)) {
        Append(line, value);
        return;
    }
    line += '"';
    for (const char c : value) {
        if (c == '"' || c == '\\') {
            line += '\\';
            line += c;
        } else if (c == '\n') {
            line += "\\n";
        } else {
            line += std::iscntrl(static_cast<unsigned char>(c)) ? '?' : c;
        }
    }
    line += '"';
}

std::string Text(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
    std::string line = Concat(Timestamp(), " ", LevelName(level), " ");
    for (const char c : message) {
        line += std::iscntrl(static_cast<unsigned char>(c)) ? ' ' : c;
    }
    for (const LogField& field : fields) {
        Append(line, " ", field.key, "=");
        AppendTextValue(line, field.value);
    }
    return line;
}

}  // namespace

LogField::LogField(const absl::Status& status) : key("error"), value(Describe(status)) {}

absl::Status InitLogging(std::string_view level, std::string_view form) {
    Output& output = TheOutput();
    LogLevel parsed = LogLevel::kInfo;
    bool known = false;
    for (const LogLevel candidate :
         {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError}) {
        if (level == LevelName(candidate)) {
            parsed = candidate;
            known = true;
        }
    }
    if (!known) {
        return MakeError(absl::StatusCode::kInvalidArgument, "LOG_LEVEL",
                         Concat("unknown log level '", level, "'"), "Use debug, info, warning or error.");
    }
    if (form != "auto" && form != "text" && form != "json") {
        return MakeError(absl::StatusCode::kInvalidArgument, "LOG_FORM",
                         Concat("unknown log form '", form, "'"), "Use auto, text or json.");
    }
    output.level = parsed;
    output.json = form == "json" || (form == "auto" && ::isatty(STDERR_FILENO) == 0);
    return absl::OkStatus();
}

void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
    Output& output = TheOutput();
    if (level < output.level) {
        return;
    }
    const std::string line = output.json ? Json(level, message, fields) : Text(level, message, fields);
    output.logger.log(spdlog::level::critical, spdlog::string_view_t(line.data(), line.size()));
    output.logger.flush();
}

}  // namespace millrace::base
