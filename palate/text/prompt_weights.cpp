#include "palate/text/prompt_weights.h"

#include <charconv>

#include "palate/core/error.h"

namespace palate {
namespace {

constexpr double bracket = 1.1;

class Parser {
 public:
  explicit Parser(std::string_view prompt) : prompt_(prompt) {}

  std::vector<WeightedText> parse() {
    while (at_ < prompt_.size()) next();
    for (const size_t from : round_) multiply(from, bracket);
    for (const size_t from : square_) multiply(from, 1 / bracket);
    return merged();
  }

 private:
  void next() {
    const char c = prompt_[at_];
    if (c == '\\') return escaped();
    if (c == ':' && !round_.empty() && closing_weight()) return;
    ++at_;
    if (c == '(') return round_.push_back(pieces_.size());
    if (c == '[') return square_.push_back(pieces_.size());
    if (c == ')' && !round_.empty()) return multiply(pop(round_), bracket);
    if (c == ']' && !square_.empty()) return multiply(pop(square_), 1 / bracket);
    size_t end = at_;
    if (c != ')' && c != ']' && c != ':') end = std::min(prompt_.find_first_of("\\()[]:", at_), prompt_.size());
    pieces_.push_back({std::string(prompt_.substr(at_ - 1, end - at_ + 1)), 1});
    at_ = end;
  }

  // \( \) \[ \] and \\ stand for the second character; a \ before anything else vanishes.
  void escaped() {
    const bool pair = at_ + 1 < prompt_.size() && std::string_view("()[]\\").find(prompt_[at_ + 1]) != std::string_view::npos;
    pieces_.push_back({pair ? std::string(1, prompt_[at_ + 1]) : "", 1});
    at_ += pair ? 2 : 1;
  }

  // ":1.3)" at the place; false when it is none.
  bool closing_weight() {
    size_t end = at_ + 1;
    if (end < prompt_.size() && (prompt_[end] == '+' || prompt_[end] == '-')) ++end;
    const size_t digits = end;
    while (end < prompt_.size() && (prompt_[end] == '.' || (prompt_[end] >= '0' && prompt_[end] <= '9'))) ++end;
    if (end == digits || end >= prompt_.size() || prompt_[end] != ')') return false;
    const std::string_view number = prompt_.substr(at_ + 1, end - at_ - 1), plain = number.substr(number[0] == '+' ? 1 : 0);
    double weight = 0;
    const auto [stop, error] = std::from_chars(plain.data(), plain.data() + plain.size(), weight);
    check<UsageError>(error == std::errc() && stop == plain.data() + plain.size(), "the prompt's weight '", std::string(number),
                      "' is not a number: expected for example (word:1.2)");
    multiply(pop(round_), weight);
    at_ = end + 1;
    return true;
  }

  static size_t pop(std::vector<size_t>& open) {
    const size_t from = open.back();
    open.pop_back();
    return from;
  }

  void multiply(size_t from, double factor) {
    for (size_t i = from; i < pieces_.size(); ++i) pieces_[i].weight *= factor;
  }

  std::vector<WeightedText> merged() const {
    std::vector<WeightedText> all;
    for (const auto& piece : pieces_) {
      if (!all.empty() && all.back().weight == piece.weight) {
        all.back().text += piece.text;
      } else {
        all.push_back(piece);
      }
    }
    return all.empty() ? std::vector<WeightedText>(1) : all;
  }

  std::string_view prompt_;
  size_t at_ = 0;
  std::vector<WeightedText> pieces_;
  std::vector<size_t> round_, square_;  // where the open brackets' first pieces are
};

}  // namespace

std::vector<WeightedText> parse_prompt_weights(std::string_view prompt) { return Parser(prompt).parse(); }

}  // namespace palate
