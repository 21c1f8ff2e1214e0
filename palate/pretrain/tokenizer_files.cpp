#include "palate/pretrain/tokenizer_files.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "palate/io/atomic_file.h"
#include "palate/io/json.h"
#include "palate/text/clip_vocabulary.h"
#include "palate/world/scene.h"

namespace palate::world {
namespace {

using Pieces = std::vector<std::string>;

Pieces join(const Pieces& pieces, const std::pair<std::string, std::string>& merge) {
  Pieces out;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (i + 1 < pieces.size() && pieces[i] == merge.first && pieces[i + 1] == merge.second) {
      out.push_back(pieces[i] + pieces[i + 1]);
      ++i;
    } else {
      out.push_back(pieces[i]);
    }
  }
  return out;
}

// Adds what is missing so that `word` becomes one token: the merges so far are applied as the tokenizer would (lowest rank
// first); then the first two pieces are joined by a new merge, until one piece is left.
void add_word(const std::string& word, MergePairs& merges) {
  Pieces pieces;
  for (const char letter : word) pieces.emplace_back(1, letter);
  pieces.back() += "</w>";
  while (pieces.size() > 1) {
    size_t rank = merges.size();
    for (size_t i = 0; i + 1 < pieces.size(); ++i) {
      const auto found = std::find(merges.begin(), merges.end(), std::pair(pieces[i], pieces[i + 1]));
      rank = std::min(rank, static_cast<size_t>(found - merges.begin()));
    }
    if (rank == merges.size()) merges.emplace_back(pieces[0], pieces[1]);
    pieces = join(pieces, merges[rank]);
  }
}

MergePairs world_merges() {
  MergePairs merges;
  for (const auto& word : vocabulary_words()) add_word(word, merges);
  return merges;
}

}  // namespace

const std::vector<std::string>& vocabulary_words() {
  static const std::vector<std::string> words = [] {
    std::vector<std::string> all = {"a", "small", "big"};
    all.insert(all.end(), colours.begin(), colours.end());
    all.insert(all.end(), backgrounds.begin(), backgrounds.end());
    all.insert(all.end(), shapes.begin(), shapes.end());
    for (const char* word : {"left", "right", "of", "above", "below", "on", "background", "sks", "zwx", "style", "with", "two"}) {
      all.emplace_back(word);
    }
    return all;
  }();
  return words;
}

std::vector<std::string> tokenizer_vocabulary() { return clip_vocabulary(world_merges()); }

void write_tokenizer(const std::filesystem::path& folder) {
  Json vocabulary = Json::object();
  for (const auto& token : tokenizer_vocabulary()) vocabulary[token] = vocabulary.size();
  std::string merge_lines = "#version: 0.2\n";
  for (const auto& [first, second] : world_merges()) merge_lines += first + " " + second + "\n";

  std::filesystem::create_directories(folder);
  write_json(folder / "vocab.json", vocabulary);
  write_file(folder / "merges.txt", merge_lines);
  const Json special = {{"bos_token", clip_start}, {"eos_token", clip_end}, {"unk_token", clip_end}, {"pad_token", clip_end}};
  write_json(folder / "special_tokens_map.json", special);
  Json config = {{"add_prefix_space", false}};
  config.update(special);
  config.update({{"do_lower_case", true}, {"errors", "replace"}, {"model_max_length", token_count}, {"tokenizer_class", "CLIPTokenizer"}});
  write_json(folder / "tokenizer_config.json", config);
}

}  // namespace palate::world
