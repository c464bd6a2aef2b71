// Rows of COPY's text form; what our own writer of that form wrote is read back as it was.
#include <string>
#include <vector>

#include "connectors/postgres/copy_row_parser.h"
#include "connectors/postgres/copy_text.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace millrace;
    fuzz::Input input(data, size);
    const size_t columns = input.Byte() % 20;
    postgres::CopyRowParser parser;
    std::vector<sdk::Cell> cells;
    const std::string line(input.rest());
    if (parser.Parse(line, columns, cells).ok()) {
        fuzz::Require(cells.size() == columns, "a row has every column");
        for (const sdk::Cell& cell : cells) {
            fuzz::Require(cell.size() <= line.size(), "a cell is not longer than its row");
        }
    }
    std::string written;
    postgres::AppendCopyText(written, line);
    fuzz::Require(written.find_first_of("\t\n\r") == std::string::npos, "separators are escaped");
    fuzz::Require(parser.Parse(written, 1, cells).ok() && cells.size() == 1 && cells[0].is_value() &&
                      cells[0].text() == line,
                  "what was written is read back");
    return 0;
}
