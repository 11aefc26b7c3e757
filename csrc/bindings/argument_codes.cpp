// Parser of argument codes.
#include "bindings/argument_codes.h"

#include "base/error.h"

namespace mtia::bindings {
namespace {

constexpr std::string_view single_letters = "-P1bhilyefd";

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  std::vector<ArgumentCode> list(bool in_tuple) {
    std::vector<ArgumentCode> codes;
    while (place_ < text_.size()) {
      const char letter = text_[place_++];
      if (letter == ')' && in_tuple) return codes;
      if (single_letters.find(letter) != std::string_view::npos) {
        codes.push_back({letter, 0, {}});
      } else if (letter == '(') {
        codes.push_back({letter, 0, list(true)});
      } else if (letter == 'D' && place_ < text_.size() && text_[place_] >= '1' && text_[place_] <= '6') {
        codes.push_back({letter, static_cast<uint8_t>(text_[place_++] - '0'), {}});
      } else {
        fail();
      }
    }
    if (in_tuple) fail();
    return codes;
  }

 private:
  [[noreturn]] void fail() const {
    throw InvalidArgument(concat("argument codes '", text_, "' are wrong at place ", place_), "make_launcher",
                          "see csrc/bindings/argument_codes.h");
  }

  std::string_view text_;
  size_t place_ = 0;
};

}  // namespace

ArgumentCodes parse_argument_codes(std::string_view text) {
  ArgumentCodes result;
  if (!text.empty() && text.front() == '!') {
    result.confined = false;
    text.remove_prefix(1);
  }
  result.codes = Parser(text).list(false);
  return result;
}

}  // namespace mtia::bindings
