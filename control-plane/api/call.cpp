#include "control-plane/api/call.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "control-plane/api/access.h"
#include "control-plane/api/errors.h"
#include "control-plane/api/forward.h"
#include "control-plane/store/uuid.h"

namespace millrace::api {
namespace {

using google::protobuf::internal::WireFormatLite;

std::string MetadataValue(const grpc::CallbackServerContext& context, const char* key) {
    const auto& metadata = context.client_metadata();
    const auto found = metadata.find(key);
    return found == metadata.end() ? "" : std::string(found->second.data(), found->second.size());
}

/// The client's own id when it is a short word, else a new one: it goes into logs.
std::string RequestId(const grpc::CallbackServerContext& context) {
    std::string id = MetadataValue(context, kRequestIdKey);
    const bool sound = !id.empty() && id.size() <= 64 && std::all_of(id.begin(), id.end(), [](char c) {
        return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
    });
    return sound ? id : store::NewUuid();
}

/// Only words may be reasons: they come from workers too.
std::string ReasonWord(const absl::Status& status) {
    std::string reason = base::ReasonOf(status).substr(0, 64);
    const bool word = std::all_of(reason.begin(), reason.end(), [](char c) {
        return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_';
    });
    return word ? reason : absl::StatusCodeToString(status.code());
}

/// Cuts at a whole UTF-8 character so that the encoded text fits; gRPC escapes messages the way
/// EncodeMetadataText does.
std::string Bounded(const std::string& text, size_t max_bytes) {
    return DecodeMetadataText(EncodeMetadataText(text, max_bytes));
}

/// google.rpc.Status{code, details: [Any(ErrorInfo{reason, domain})]} written field by field: the message is
/// in grpc-message already, and no package of this platform carries the generated classes.
std::string StatusDetails(int code, const std::string& reason) {
    const auto write_string = [](std::string& out, int field, const std::string& value) {
        google::protobuf::io::StringOutputStream stream(&out);
        google::protobuf::io::CodedOutputStream coded(&stream);
        WireFormatLite::WriteBytes(field, value, &coded);
    };
    std::string info;
    write_string(info, 1, reason);
    write_string(info, 2, kErrorDomain);
    std::string any;
    write_string(any, 1, "type.googleapis.com/google.rpc.ErrorInfo");
    write_string(any, 2, info);
    std::string status;
    {
        google::protobuf::io::StringOutputStream stream(&status);
        google::protobuf::io::CodedOutputStream coded(&stream);
        WireFormatLite::WriteInt32(1, code, &coded);
    }
    write_string(status, 3, any);
    return status;
}

}  // namespace

Call::Call(grpc::CallbackServerContext& context, base::Metrics& metrics, const char* method, bool quiet)
    : context_(context), metrics_(metrics), method_(method), quiet_(quiet), request_id_(RequestId(context)) {}

absl::Status Call::Authenticate(const base::Secret& expected) const {
    return CheckToken(MetadataValue(context_, "authorization"), expected);
}

absl::Time Call::deadline() const {
    const auto deadline = context_.deadline();
    return deadline == std::chrono::system_clock::time_point::max() ? absl::InfiniteFuture()
                                                                    : absl::FromChrono(deadline);
}

grpc::Status Call::Finish(const absl::Status& status) {
    const std::string code = absl::StatusCodeToString(status.code());
    const absl::Duration taken = absl::FromChrono(std::chrono::steady_clock::now() - begun_);
    metrics_
        .GetCounter("millrace_control_rpc_total", "Finished calls of the API.",
                    {{"method", method_}, {"code", code}})
        .Add();
    metrics_
        .GetHistogram("millrace_control_rpc_seconds", "Duration of calls of the API.", {{"method", method_}})
        .Observe(absl::ToDoubleSeconds(taken));
    const std::string reason = status.ok() ? "" : ReasonWord(status);
    const auto level = quiet_ && status.ok() ? base::LogLevel::kDebug : base::LogLevel::kInfo;
    base::Log(level, "rpc",
              {{"method", method_},
               {"code", code},
               {"reason", reason},
               {"request_id", request_id_},
               {"ms", absl::ToInt64Milliseconds(taken)}});
    context_.AddTrailingMetadata(kRequestIdKey, request_id_);
    if (status.ok()) {
        return grpc::Status::OK;
    }
    context_.AddTrailingMetadata(kReasonKey, reason);
    if (const std::string remedy = base::RemedyOf(status); !remedy.empty()) {
        context_.AddTrailingMetadata(kRemedyKey, EncodeMetadataText(remedy, kMaxRemedyBytes));
    }
    if (const std::string findings = FindingsOf(status, kMaxFindingsBytes); !findings.empty()) {
        context_.AddTrailingMetadata(kFindingsKey, findings);
    }
    const auto number = static_cast<int>(status.code());
    return grpc::Status(static_cast<grpc::StatusCode>(number),
                        Bounded(base::Describe(status), kMaxMessageBytes), StatusDetails(number, reason));
}

}  // namespace millrace::api
