#include "control-plane/cli/secret_input.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <cstdlib>

#include "base/file.h"
#include "base/status.h"

namespace millrace::cli {
namespace {

absl::StatusOr<base::Secret> Prompt(std::string_view what) {
    const int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC);
    if (terminal < 0) {
        return base::MakeError(absl::StatusCode::kFailedPrecondition, "NO_TERMINAL",
                               "the " + std::string(what) + " cannot be asked for: there is no terminal",
                               "Give it as env:NAME or file:PATH");
    }
    const std::string question = std::string(what) + ": ";
    termios before{};
    tcgetattr(terminal, &before);
    termios silent = before;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    tcsetattr(terminal, TCSAFLUSH, &silent);
    std::string line;
    if (write(terminal, question.data(), question.size()) >= 0) {
        char c = 0;
        while (read(terminal, &c, 1) == 1 && c != '\n') {
            line += c;
        }
    }
    tcsetattr(terminal, TCSAFLUSH, &before);
    [[maybe_unused]] const ssize_t newline = write(terminal, "\n", 1);
    close(terminal);
    return base::Secret(std::move(line));
}

}  // namespace

absl::StatusOr<base::Secret> ReadSecret(const base::Secret& reference, std::string_view what) {
    const std::string& text = reference.Reveal();
    if (text == "prompt") {
        return Prompt(what);
    }
    if (text.starts_with("env:")) {
        const char* value = std::getenv(text.c_str() + 4);
        if (value == nullptr) {
            return base::MakeError(absl::StatusCode::kNotFound, "SECRET_MISSING",
                                   "the environment variable " + text.substr(4) + " for the " +
                                       std::string(what) + " is not set",
                                   "Set it, or name another one");
        }
        return base::Secret(value);
    }
    if (text.starts_with("file:")) {
        ASSIGN_OR_RETURN(std::string content, base::ReadFile(text.substr(5)));
        if (content.ends_with('\n')) {
            content.pop_back();
        }
        return base::Secret(std::move(content));
    }
    return reference;
}

}  // namespace millrace::cli
