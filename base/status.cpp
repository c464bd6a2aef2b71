#include "base/status.h"

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "base/text.h"

namespace millrace::base {
namespace {

constexpr char kReasonUrl[] = "millrace.dev/reason";
constexpr char kRemedyUrl[] = "millrace.dev/remedy";

std::string Payload(const absl::Status& status, const char* url) {
    const auto payload = status.GetPayload(url);
    return payload ? std::string(*payload) : std::string();
}

}  // namespace

absl::Status MakeError(absl::StatusCode code, std::string_view reason, std::string_view message,
                       std::string_view remedy) {
    absl::Status status(code, ToAbsl(message));
    if (!reason.empty()) {
        status.SetPayload(kReasonUrl, absl::Cord(ToAbsl(reason)));
    }
    if (!remedy.empty()) {
        status.SetPayload(kRemedyUrl, absl::Cord(ToAbsl(remedy)));
    }
    return status;
}

absl::Status Annotate(const absl::Status& status, std::string_view context) {
    if (status.ok()) {
        return status;
    }
    absl::Status annotated(status.code(), Concat(context, ": ", status.message()));
    status.ForEachPayload(
        [&](absl::string_view url, const absl::Cord& payload) { annotated.SetPayload(url, payload); });
    return annotated;
}

std::string ReasonOf(const absl::Status& status) {
    std::string reason = Payload(status, kReasonUrl);
    return reason.empty() ? absl::StatusCodeToString(status.code()) : reason;
}

std::string RemedyOf(const absl::Status& status) {
    return Payload(status, kRemedyUrl);
}

std::string Describe(const absl::Status& status) {
    if (status.ok()) {
        return "OK";
    }
    std::string text(status.message().empty() ? ReasonOf(status) : std::string(status.message()));
    if (const std::string remedy = RemedyOf(status); !remedy.empty()) {
        Append(text, text.back() == '.' ? " " : ". ", remedy);
    }
    for (char& c : text) {
        if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) {
            c = ' ';
        }
    }
    return text;
}

}  // namespace millrace::base
