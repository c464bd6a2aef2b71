// Pipelines declared in YAML.
#include <cmath>
#include <string>

#include "control-plane/cli/pipeline_file.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace millrace;
    const auto file =
        cli::ParsePipelineFile("f.yaml", std::string(reinterpret_cast<const char*>(data), size));
    if (file.ok()) {
        fuzz::Require(!file->name.empty() && !file->tables.empty(), "a pipeline has a name and tables");
        fuzz::Require(std::isfinite(file->flush_seconds) && file->flush_seconds >= 0 &&
                          file->flush_seconds < 1e9 && file->flush_rows >= 0 && file->flush_bytes >= 0,
                      "flush limits are numbers that can be sent");
        fuzz::Require(file->backfill_connections >= 0 && file->backfill_connections <= 32 && file->backfill_chunk_rows >= 0 &&
                          file->backfill_rows_per_second >= 0 && file->backfill_bytes_per_second >= 0,
                      "backfill limits are numbers that can be sent");
    } else {
        fuzz::Require(file.status().code() == absl::StatusCode::kInvalidArgument,
                      "a bad file is InvalidArgument");
    }
    return 0;
}
