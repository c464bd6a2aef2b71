/// Errors of both planes: absl::Status with a one-word reason and a remedy as payloads.
/// Not for: deciding what to do about an error (data-plane/runtime/error_policy does).
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace millrace::base {

/// Builds an error. `reason` is one CamelCase or UPPER_SNAKE word for programs ("WAL_LEVEL"), `message` one sentence
/// (what, on which object), `remedy` one sentence or statement (what to do; may be empty). None of them may hold row
/// values, keys of rows or credentials.
absl::Status MakeError(absl::StatusCode code, std::string_view reason, std::string_view message,
                       std::string_view remedy = {});

/// The same error with `context` put before its message ("copying public.orders: …"); payloads are kept.
absl::Status Annotate(const absl::Status& status, std::string_view context);

/// Reason given to MakeError, or the canonical code's name ("UNAVAILABLE") when none was.
std::string ReasonOf(const absl::Status& status);

/// Remedy given to MakeError, or "".
std::string RemedyOf(const absl::Status& status);

/// "message. remedy" as one line for people.
std::string Describe(const absl::Status& status);

}  // namespace millrace::base

#define MILLRACE_STATUS_CONCAT_(a, b) a##b
#define MILLRACE_STATUS_CONCAT(a, b) MILLRACE_STATUS_CONCAT_(a, b)

#define RETURN_IF_ERROR(expr)                                              \
    do {                                                                   \
        if (::absl::Status status_macro_ = (expr); !status_macro_.ok()) {  \
            return status_macro_;                                          \
        }                                                                  \
    } while (false)

#define ASSIGN_OR_RETURN_IMPL_(tmp, lhs, expr) \
    auto tmp = (expr);                         \
    if (!tmp.ok()) {                           \
        return tmp.status();                   \
    }                                          \
    lhs = std::move(tmp).value()

/// ASSIGN_OR_RETURN(auto x, Compute());
#define ASSIGN_OR_RETURN(lhs, expr) \
    ASSIGN_OR_RETURN_IMPL_(MILLRACE_STATUS_CONCAT(status_or_, __LINE__), lhs, expr)
