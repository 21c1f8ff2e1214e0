// CLIP's byte-pair encoding: equal to transformers' CLIPTokenizer and CLIPTokenizerFast.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace palate {

class ClipTokenizer {
 public:
  // FOLDER holds vocab.json and merges.txt, optionally tokenizer_config.json and special_tokens_map.json (the map wins).
  explicit ClipTokenizer(const std::filesystem::path& folder);
  ~ClipTokenizer();
  ClipTokenizer(ClipTokenizer&&) noexcept;

  // Ids without start, end and padding.
  std::vector<int64_t> tokens(std::string_view text) const;
  // start, tokens (cut so that the end fits), end, padded to `length` (0: the tokenizer's own model_max_length).
  std::vector<int64_t> encode(std::string_view text, int64_t length = 0) const;
  // The same of ids without start and end: ids[from, ...) as far as they fit; none from there on leaves start, end and padding.
  std::vector<int64_t> framed(const std::vector<int64_t>& ids, size_t from, int64_t length) const;
  // A word of its own from now on, in any case: it becomes these ids, which no vocabulary needs to hold (textual inversion). UsageError for
  // an empty word and one that is a token already.
  void add_word(const std::string& word, const std::vector<int64_t>& ids);
  void forget_word(const std::string& word);  // of add_word; nothing when there is none
  std::string decode(const std::vector<int64_t>& ids) const;

  int64_t max_length() const;  // model_max_length
  int64_t start_id() const;
  int64_t end_id() const;
  int64_t pad_id() const;
  int64_t vocabulary_size() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace palate
