// Byte-pair encoding (Sennrich et al., 2016) over the bytes of one piece of text, with an end-of-word suffix.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace palate {

using Vocabulary = std::unordered_map<std::string, int64_t>;

// GPT-2's printable code point for each byte, as UTF-8.
const std::vector<std::string>& byte_symbols();
// The bytes of a token made of byte symbols; a token with any other character stands for itself.
std::string symbols_to_bytes(const std::string& token);

struct Merge {
  std::string left, right;
  int64_t line;  // where it was read, for errors
};

class BytePair {
 public:
  // `suffix` ("</w>") is added to the last symbol of a piece. FormatError, with `origin` and the line, for a merge whose
  // parts or result are not in the vocabulary. `unknown` stands for a byte whose symbol is not in the vocabulary.
  BytePair(const Vocabulary& vocabulary, const std::vector<Merge>& merges, const std::string& suffix, int64_t unknown,
           const std::string& origin);

  // Appends the ids of one piece. Time grows with n log n, so a hostile word of a megabyte is only slow reading.
  void encode(std::string_view piece, std::vector<int64_t>& ids) const;

 private:
  struct Rule {
    int64_t rank, merged;
  };
  static uint64_t pair_key(int64_t left, int64_t right) { return static_cast<uint64_t>(left) << 32 | static_cast<uint64_t>(right); }
  const Rule* rule(int64_t left, int64_t right) const;

  std::vector<int64_t> inner_, last_;  // [256] ids of a byte inside a piece and at its end
  std::unordered_map<uint64_t, Rule> rules_;
};

}  // namespace palate
