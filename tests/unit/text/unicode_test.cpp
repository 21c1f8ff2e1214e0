#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "palate/text/byte_pair.h"
#include "palate/text/unicode.h"

using namespace palate;

namespace {
std::vector<std::string> pieces(const std::string& text) {
  std::vector<std::string> out;
  for (const auto piece : clip_pieces(text)) out.emplace_back(piece);
  return out;
}
using Pieces = std::vector<std::string>;
}  // namespace

TEST_CASE("text: bytes that are not UTF-8 become the replacement character, one each") {
  CHECK(valid_utf8("caf\xC3\xA9") == "caf\xC3\xA9");
  CHECK(valid_utf8("a\xFF z") == "a\xEF\xBF\xBD z");
  CHECK(valid_utf8("\xE4\xBD") == "\xEF\xBF\xBD\xEF\xBF\xBD");                  // cut short
  CHECK(valid_utf8("\xED\xA0\x80") == "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");  // a surrogate
  CHECK(valid_utf8(std::string("a\0b", 3)) == std::string("a\0b", 3));
}

TEST_CASE("text: the normaliser composes, folds white space and lowers the case") {
  CHECK(clip_normalize("Cafe\xCC\x81") == "caf\xC3\xA9");
  CHECK(clip_normalize(" A \t\n\xC2\xA0\xE3\x80\x80 B ") == " a b ");
  CHECK(clip_normalize("\xC4\xB0") == "i\xCC\x87");                 // I with dot above
  CHECK(clip_normalize("\xCE\x91\xCE\xA3") == "\xCE\xB1\xCF\x83");  // no final sigma
  CHECK(clip_normalize("\xE2\x80\x8B") == "\xE2\x80\x8B");          // a zero-width space is not white space
  CHECK(clip_normalize("").empty());
}

TEST_CASE("text: the pattern takes letters in runs, numbers singly, and the rest in runs") {
  CHECK(pieces("two cats, 42!") == Pieces{"two", "cats", ",", "4", "2", "!"});
  CHECK(pieces("don't we've 's") == Pieces{"don", "'t", "we", "'ve", "'s"});
  CHECK(pieces("''s it'sx") == Pieces{"''", "s", "it", "'s", "x"});  // a run of marks swallows the second quote
  CHECK(pieces("a<|startoftext|>!") == Pieces{"a", "<|", "startoftext", "|>", "!"});
  CHECK(pieces("<|startoftext|") == Pieces{"<|", "startoftext", "|"});
  CHECK(pieces("  ").empty());
}

TEST_CASE("text: byte symbols are printable and turn back into their bytes") {
  REQUIRE(byte_symbols().size() == 256);
  CHECK(byte_symbols()['!'] == "!");
  CHECK(byte_symbols()[0] == "\xC4\x80");    // U+0100
  CHECK(byte_symbols()[' '] == "\xC4\xA0");  // U+0120
  for (int b = 0; b < 256; ++b) {
    INFO("byte ", b);
    CHECK(symbols_to_bytes(byte_symbols()[static_cast<size_t>(b)]) == std::string(1, static_cast<char>(b)));
  }
  CHECK(symbols_to_bytes("\xE4\xBD\xA0") == "\xE4\xBD\xA0");  // not a byte symbol: stands for itself
}

TEST_CASE("byte pairs: the lowest rank merges first, then the leftmost") {
  const Vocabulary vocabulary = {{"a", 0}, {"b", 1}, {"a</w>", 2}, {"b</w>", 3}, {"ab", 4}, {"aa", 5}, {"aab</w>", 6}, {"ab</w>", 7}};
  const std::vector<Merge> merges = {{"a", "b</w>", 1}, {"a", "a", 2}, {"a", "ab</w>", 3}};
  const BytePair pairs(vocabulary, merges, "</w>", 99, "test");
  const auto ids = [&](const std::string& piece) {
    std::vector<int64_t> out;
    pairs.encode(piece, out);
    return out;
  };
  CHECK(ids("ab") == std::vector<int64_t>{7});
  CHECK(ids("aab") == std::vector<int64_t>{6});      // a b -> ab, then a ab -> aab, though "a a" stands further left
  CHECK(ids("aaab") == std::vector<int64_t>{5, 7});  // after a b, "a a" (rank 1) comes before "a ab" (rank 2)
  CHECK(ids("aaa") == std::vector<int64_t>{5, 2});   // the leftmost pair of two
  CHECK(ids("b") == std::vector<int64_t>{3});
  CHECK(ids("c") == std::vector<int64_t>{99});
  CHECK(ids("").empty());
}

TEST_CASE("byte pairs: a word of a million letters is encoded") {
  const Vocabulary vocabulary = {{"a", 0}, {"a</w>", 1}, {"aa", 2}, {"aaaa", 3}};
  const BytePair pairs(vocabulary, {{"a", "a", 1}, {"aa", "aa", 2}}, "</w>", 9, "test");
  std::vector<int64_t> ids;
  pairs.encode(std::string(1000001, 'a'), ids);
  CHECK(ids.size() == 250001);
}
