/// How an error travels from the API to its clients, for both ends. Not for: choosing codes and reasons
/// (domain and api do), gRPC types (each end reads and writes metadata with its own).
///
/// A failed call carries
///   - grpc-status: the canonical code;
///   - grpc-message: "sentence. remedy" for people, at most kMaxMessageBytes;
///   - trailing metadata `millrace-reason`: one word of [A-Za-z0-9_], always present;
///   - trailing metadata `millrace-remedy`: the remedy alone, in EncodeMetadataText form, absent when there
///   is none;
///   - trailing metadata `millrace-findings-bin` (DeployPipeline and CheckConnector alone): a serialised
///     millrace.v1.CheckConnectorResponse, the gravest findings first, cut to kMaxFindingsBytes;
///   - grpc-status-details-bin: a google.rpc.Status with one google.rpc.ErrorInfo {reason, domain
///   "millrace.dev"}.
/// All of it together stays below the 8 KiB of metadata that gRPC clients accept unless told otherwise.
/// Every answer carries trailing metadata `x-request-id`: the client's own, or one made for the call.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace millrace::api {

inline constexpr char kReasonKey[] = "millrace-reason";
inline constexpr char kRemedyKey[] = "millrace-remedy";
inline constexpr char kFindingsKey[] = "millrace-findings-bin";
inline constexpr char kRequestIdKey[] = "x-request-id";
inline constexpr char kErrorDomain[] = "millrace.dev";

inline constexpr size_t kMaxMessageBytes = 1500;
inline constexpr size_t kMaxRemedyBytes = 1000;
inline constexpr size_t kMaxFindingsBytes = 2800;

/// Text as an ASCII metadata value: bytes outside 0x20..0x7E and '%' become %XX; cut at a whole UTF-8
/// character so that the result has at most `max_bytes` bytes.
std::string EncodeMetadataText(std::string_view text, size_t max_bytes);

/// The reverse; a '%' that two hex digits do not follow stands for itself.
std::string DecodeMetadataText(std::string_view value);

/// The error that the server had, from the parts that arrived: ReasonOf and RemedyOf (base/status.h) give the
/// reason and the remedy, message() the sentence without the remedy. `remedy` is the metadata value as it
/// came.
absl::Status ErrorFromWire(int code, std::string_view grpc_message, std::string_view reason,
                           std::string_view remedy);

}  // namespace millrace::api
