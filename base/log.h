/// Structured logs: a lower-case sentence plus key=value fields; text on a terminal, one JSON object a line otherwise.
/// Not for: row values, option maps, connection strings, credentials; metrics.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace millrace::base {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

/// One key=value of a log line.
struct LogField final {
    std::string_view key;
    std::string value;

    LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
    LogField(std::string_view k, const char* v) : key(k), value(v) {}
    LogField(std::string_view k, const std::string& v) : key(k), value(v) {}
    LogField(std::string_view k, bool v) : key(k), value(v ? "true" : "false") {}
    template <typename Number>
        requires std::is_arithmetic_v<Number>
    LogField(std::string_view k, Number v) : key(k), value(std::to_string(v)) {}
    /// Key "error": the status described with its remedy.
    explicit LogField(const absl::Status& status);
};

/// Sets level ("debug", "info", "warning", "error") and form ("auto", "text", "json"). Call once, first thing in main;
/// before it, logs go to stderr as text at info. InvalidArgument names the words that are allowed.
absl::Status InitLogging(std::string_view level, std::string_view form);

/// Writes one line to stderr. Any thread.
void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields = {});

inline void LogDebug(std::string_view m, std::initializer_list<LogField> f = {}) { Log(LogLevel::kDebug, m, f); }
inline void LogInfo(std::string_view m, std::initializer_list<LogField> f = {}) { Log(LogLevel::kInfo, m, f); }
inline void LogWarning(std::string_view m, std::initializer_list<LogField> f = {}) { Log(LogLevel::kWarning, m, f); }
inline void LogError(std::string_view m, std::initializer_list<LogField> f = {}) { Log(LogLevel::kError, m, f); }

}  // namespace millrace::base
