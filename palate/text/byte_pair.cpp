#include "palate/text/byte_pair.h"

#include <queue>

#include "palate/core/error.h"

namespace palate {
namespace {

std::string utf8_of(uint32_t c) {  // below U+0800 is all that the table needs
  if (c < 0x80) return std::string(1, static_cast<char>(c));
  return {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
}

std::vector<std::string> make_byte_symbols() {
  // Printable bytes stand for themselves, the others for U+0100 and on, in order (GPT-2's bytes_to_unicode).
  std::vector<std::string> symbols(256);
  uint32_t next = 0x100;
  for (uint32_t b = 0; b < 256; ++b) {
    const bool printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    symbols[b] = utf8_of(printable ? b : next++);
  }
  return symbols;
}

struct Candidate {
  int64_t rank, merged;
  size_t left;  // index of the left symbol
  int64_t left_id, right_id;
  // The lowest rank first, then the leftmost.
  bool operator<(const Candidate& other) const { return rank != other.rank ? rank > other.rank : left > other.left; }
};

struct Symbol {
  int64_t id;
  size_t previous, next;  // `none` at the ends
};
constexpr size_t none = static_cast<size_t>(-1);

}  // namespace

const std::vector<std::string>& byte_symbols() {
  static const std::vector<std::string> symbols = make_byte_symbols();
  return symbols;
}

std::string symbols_to_bytes(const std::string& token) {
  static const auto bytes_of = [] {
    std::unordered_map<std::string, char> map;
    for (size_t b = 0; b < 256; ++b) map[byte_symbols()[b]] = static_cast<char>(b);
    return map;
  }();
  std::string bytes;
  for (size_t at = 0; at < token.size();) {
    const size_t length = static_cast<unsigned char>(token[at]) < 0x80 ? 1 : 2;
    const auto found = bytes_of.find(token.substr(at, length));
    if (found == bytes_of.end()) return token;
    bytes += found->second;
    at += length;
  }
  return bytes;
}

BytePair::BytePair(const Vocabulary& vocabulary, const std::vector<Merge>& merges, const std::string& suffix, int64_t unknown,
                   const std::string& origin) {
  const auto id_or_unknown = [&](const std::string& token) {
    const auto found = vocabulary.find(token);
    return found == vocabulary.end() ? unknown : found->second;
  };
  for (const auto& symbol : byte_symbols()) {
    inner_.push_back(id_or_unknown(symbol));
    last_.push_back(id_or_unknown(symbol + suffix));
  }
  rules_.reserve(merges.size());
  int64_t rank = 0;
  for (const auto& merge : merges) {
    const auto need = [&](const std::string& token) {
      const auto found = vocabulary.find(token);
      check<FormatError>(found != vocabulary.end(), origin, ":", merge.line, ": the merge '", merge.left, " ", merge.right, "' needs '",
                         token, "', which the vocabulary has not: vocabulary and merges are not of one tokenizer");
      return found->second;
    };
    const int64_t left = need(merge.left), right = need(merge.right);
    rules_[pair_key(left, right)] = {rank++, need(merge.left + merge.right)};
  }
}

const BytePair::Rule* BytePair::rule(int64_t left, int64_t right) const {
  const auto found = rules_.find(pair_key(left, right));
  return found == rules_.end() ? nullptr : &found->second;
}

void BytePair::encode(std::string_view piece, std::vector<int64_t>& ids) const {
  if (piece.empty()) return;
  std::vector<Symbol> symbols(piece.size());
  for (size_t i = 0; i < piece.size(); ++i) {
    const auto byte = static_cast<unsigned char>(piece[i]);
    const bool at_end = i + 1 == piece.size();
    symbols[i] = {at_end ? last_[byte] : inner_[byte], i == 0 ? none : i - 1, at_end ? none : i + 1};
  }
  std::priority_queue<Candidate> queue;
  const auto consider = [&](size_t left) {
    if (left == none || symbols[left].next == none) return;
    const int64_t a = symbols[left].id, b = symbols[symbols[left].next].id;
    if (const Rule* found = rule(a, b)) queue.push({found->rank, found->merged, left, a, b});
  };
  for (size_t i = 0; i < symbols.size(); ++i) consider(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbols[best.left];
    // A candidate is stale when either side has been merged since: ids of merged-away symbols are -1.
    if (left.id != best.left_id || left.next == none || symbols[left.next].id != best.right_id) continue;
    Symbol& right = symbols[left.next];
    left.id = best.merged;
    left.next = right.next;
    right.id = -1;
    if (left.next != none) symbols[left.next].previous = best.left;
    consider(left.previous);
    consider(best.left);
  }
  for (size_t i = 0; i != none; i = symbols[i].next) ids.push_back(symbols[i].id);
}

}  // namespace palate
