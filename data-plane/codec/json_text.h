/// The pieces of JSON that records in Debezium's form need: texts out, one pass over a value in.
/// Not for: documents in general (nlohmann), what the members mean (debezium_*).
#pragma once

#include <string>
#include <string_view>

namespace millrace::codec {

/// Appends `text` as a JSON string. False when it is no UTF-8: what is not stands as U+FFFD.
bool AppendJsonText(std::string_view text, std::string& out);

/// Whether `text` is a number as JSON writes it.
bool IsJsonNumber(std::string_view text);
bool IsJsonInteger(std::string_view text);

/// Reads values one after the other; every method skips white space first. False: the bytes are not what was asked
/// for, and the reader is of no further use. Never throws, never recurses.
class JsonReader final {
 public:
    explicit JsonReader(std::string_view bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

    /// The next byte, 0 at the end.
    char Peek();
    bool Take(char wanted);
    /// Appends the string that stands next.
    bool Text(std::string& out);
    /// Passes over one value and says where it stands; what is inside objects and arrays is not judged.
    bool Raw(std::string_view& raw);

    /// `member(reader, name)` reads the value; false from it ends the reading.
    template <typename Member>
    bool Object(Member&& member) {
        if (!Take('{')) {
            return false;
        }
        if (Take('}')) {
            return true;
        }
        std::string name;
        do {
            name.clear();
            if (!Text(name) || !Take(':') || !member(*this, std::string_view(name))) {
                return false;
            }
        } while (Take(','));
        return Take('}');
    }

 private:
    bool Escape(std::string& out);
    bool FourHex(unsigned& code);
    bool SkipText();

    const char* at_;
    const char* end_;
};

}  // namespace millrace::codec
