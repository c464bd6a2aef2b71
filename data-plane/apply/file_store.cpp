#include "data-plane/apply/file_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iomanip>
#include <sstream>

namespace millrace::apply {

namespace {

class FileLock final {
 public:
    explicit FileLock(const std::string& path) : fd_(open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600)) {
        flock(fd_, LOCK_EX);
    }
    ~FileLock() { close(fd_); }
    FileLock(const FileLock&) = delete;
    FileLock& operator=(const FileLock&) = delete;

 private:
    int fd_;
};

void Write(std::ostream& out, const MemoryRow& row) {
    out << row.size() << '\n';
    for (const auto& [column, value] : row) {
        out << std::quoted(column) << ' ' << value.has_value() << ' ' << std::quoted(value.value_or(""))
            << '\n';
    }
}

MemoryRow ReadRow(std::istream& in) {
    MemoryRow row;
    size_t columns = 0;
    in >> columns;
    for (size_t i = 0; i < columns; ++i) {
        std::string column;
        std::string value;
        bool has_value = false;
        in >> std::quoted(column) >> has_value >> std::quoted(value);
        row[column] = has_value ? std::optional(value) : std::nullopt;
    }
    return row;
}

void Save(const std::string& path, const MemoryTable& table) {
    const std::string temporary = path + ".new";
    {
        std::ofstream out(temporary);
        const sdk::Checkpoint& at = table.checkpoint;
        out << at.next_offset << ' ' << at.epoch << ' ' << at.generation << ' ' << at.last.commit << ' '
            << at.last.seq << ' ' << table.batches << '\n';
        out << table.rows.size() << '\n';
        for (const auto& [key, row] : table.rows) {
            out << std::quoted(key.at(0)) << ' ';
            Write(out, row);
        }
        out << table.appended.size() << '\n';
        for (const MemoryRow& row : table.appended) {
            Write(out, row);
        }
    }
    std::filesystem::rename(temporary, path);
}

MemoryTable Load(const std::string& path) {
    MemoryTable table;
    std::ifstream in(path);
    if (!in) {
        return table;
    }
    sdk::Checkpoint& at = table.checkpoint;
    size_t rows = 0;
    in >> at.next_offset >> at.epoch >> at.generation >> at.last.commit >> at.last.seq >> table.batches >> rows;
    for (size_t i = 0; i < rows; ++i) {
        std::string key;
        in >> std::quoted(key);
        table.rows[{key}] = ReadRow(in);
    }
    in >> rows;
    for (size_t i = 0; i < rows; ++i) {
        table.appended.push_back(ReadRow(in));
    }
    return table;
}

int64_t Stamp(const MemoryRow& row) {
    return std::stoll(row.at("status").value_or("v0").substr(1));
}

}  // namespace

absl::Status FileStore::Transact(const std::string& topic,
                                 const std::function<absl::Status(MemoryTable&)>& change) {
    const std::lock_guard lock(mutex_);
    const std::string path = folder_ + "/" + topic;
    const FileLock file_lock(path + ".lock");
    const MemoryTable before = Load(path);
    MemoryTable after = before;
    if (absl::Status status = change(after); !status.ok()) {
        return status;
    }
    if (after.checkpoint.next_offset < before.checkpoint.next_offset) {
        return Violation("the checkpoint of " + topic + " went back");
    }
    for (const auto& [key, row] : before.rows) {
        const auto now = after.rows.find(key);
        if (now != after.rows.end() && Stamp(now->second) < Stamp(row)) {
            return Violation("row " + key.at(0) + " of " + topic + " went back");
        }
    }
    Save(path, after);
    return absl::OkStatus();
}

absl::Status FileStore::Violation(const std::string& what) {
    std::ofstream(folder_ + "/violations", std::ios::app) << what << '\n';
    return absl::InternalError(what);
}

std::string FileStore::violations() const {
    std::ifstream in(folder_ + "/violations");
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

}  // namespace millrace::apply
