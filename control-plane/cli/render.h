/// How resources look on a terminal and as JSON. Not for: fetching them.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "millrace/v1/resources.pb.h"

namespace millrace::cli {

/// Aligned columns; the first row is the heading.
std::string RenderTable(const std::vector<std::vector<std::string>>& rows);

/// "live", "copying", …
std::string StateWord(v1::PipelineStatus::State state);
std::string StateWord(v1::TableStatus::State state);
/// With how far its copy is.
std::string StateText(const v1::TableStatus& table);

/// Last component of a resource name.
std::string IdOf(const std::string& resource_name);

/// Summary line, publisher line and one line per table.
std::string RenderPipelineStatus(const v1::Pipeline& pipeline);
/// One line per pipeline.
std::string RenderPipelineList(const std::vector<v1::Pipeline>& pipelines);
/// {"pipelines": […]}; numbers are numbers. Documented in docs/cli.md.
std::string PipelinesAsJson(const std::vector<v1::Pipeline>& pipelines);

/// One line for each event, oldest first, and its columns where they changed.
std::string RenderEvents(const std::vector<v1::PipelineEvent>& events);
/// One JSON object a line.
std::string EventsAsJson(const std::vector<v1::PipelineEvent>& events);
/// One line for each table of which rows are read, with a bar.
std::string RenderBackfills(const v1::PipelineStatus& status);
/// {"backfills": […]}.
std::string BackfillsAsJson(const v1::PipelineStatus& status);
/// The lines of the tables alone.
std::string RenderTables(const v1::PipelineStatus& status);
std::string TablesAsJson(const v1::PipelineStatus& status);

std::string RenderConnectorList(const std::vector<v1::Connector>& connectors);
/// Secrets show as "(sealed)".
std::string ConnectorsAsJson(const std::vector<v1::Connector>& connectors);

/// "  ✓ message" or "  ✗ message\n      remedy" for each.
std::string RenderFindings(const std::vector<v1::Finding>& findings, bool with_passed);
bool HasCritical(const std::vector<v1::Finding>& findings);

/// "error: sentence\n       remedy".
std::string RenderError(const absl::Status& status);

/// RFC 3339 in UTC with milliseconds; "" for a time that was never set.
std::string Time(const google::protobuf::Timestamp& time);
/// Of ASCII.
std::string Lower(std::string text);
/// "message. remedy", or the message alone.
std::string WithRemedy(const std::string& message, const std::string& remedy);
/// Offsets [first, next) as people read them: "7-9"; "" where next is 0.
std::string OffsetRange(int64_t first, int64_t next);
std::string HumanBytes(int64_t bytes);
std::string HumanCount(int64_t count);

}  // namespace millrace::cli
