#include "palate/text/clip_vocabulary.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>
#include <unordered_set>

#include "palate/io/atomic_file.h"
#include "palate/io/json.h"
#include "palate/text/byte_pair.h"

namespace palate {
namespace {

Json special(const std::string& content) {
  return {{"content", content}, {"lstrip", false}, {"normalized", true}, {"rstrip", false}, {"single_word", false}};
}

}  // namespace

std::vector<std::string> clip_vocabulary(const MergePairs& merges) {
  std::vector<std::string> tokens = byte_symbols();
  std::sort(tokens.begin(), tokens.end());  // by code points: printable bytes stand for themselves and come first
  for (size_t i = 0; i < 256; ++i) tokens.push_back(tokens[i] + "</w>");
  std::unordered_set<std::string> known(tokens.begin(), tokens.end());
  for (const auto& [left, right] : merges) {
    if (known.insert(left + right).second) tokens.push_back(left + right);
  }
  for (const char* token : {clip_start, clip_end}) tokens.emplace_back(token);
  return tokens;
}

int64_t write_clip_tokenizer(const std::filesystem::path& folder, const std::filesystem::path& merges, const std::string& pad) {
  const std::string text = read_file(merges), start = clip_start, end = clip_end;
  MergePairs pairs;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t space = line.find(' ');
    if (!line.starts_with("#version") && space != std::string::npos) pairs.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  Json vocabulary = Json::object();
  int64_t count = 0;
  for (const auto& token : clip_vocabulary(pairs)) vocabulary.push_back({token, count++});
  make_folder(folder);
  write_file(folder / "vocab.json", vocabulary.dump());
  write_file(folder / "merges.txt", text);
  write_json(folder / "special_tokens_map.json",
             {{"bos_token", special(start)}, {"eos_token", special(end)}, {"pad_token", pad}, {"unk_token", special(end)}});
  write_json(folder / "tokenizer_config.json", {{"add_prefix_space", false},
                                                {"bos_token", start},
                                                {"do_lower_case", true},
                                                {"eos_token", end},
                                                {"errors", "replace"},
                                                {"model_max_length", 77},
                                                {"pad_token", pad},
                                                {"tokenizer_class", "CLIPTokenizer"},
                                                {"unk_token", end}});
  return count;
}

}  // namespace palate
