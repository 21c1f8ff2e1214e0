#include "palate/models/convert/tokenizer.h"

#include <nlohmann/json.hpp>
#include <sstream>

#include "palate/core/error.h"
#include "palate/io/atomic_file.h"
#include "palate/io/json.h"

namespace palate {
namespace {

// GPT-2's letters for bytes: the printable ones of Latin-1 stand for themselves, and come first; the others take U+0100 and on.
std::vector<std::string> byte_letters() {
  const auto utf8 = [](unsigned code) {
    return code < 128 ? std::string(1, static_cast<char>(code))
                      : std::string{static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 63))};
  };
  std::vector<std::string> first, rest;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    if (printable) {
      first.push_back(utf8(byte));
    } else {
      rest.push_back(utf8(256 + static_cast<unsigned>(rest.size())));
    }
  }
  first.insert(first.end(), rest.begin(), rest.end());
  return first;
}

Json special(const std::string& content) {
  return {{"content", content}, {"lstrip", false}, {"normalized", true}, {"rstrip", false}, {"single_word", false}};
}

}  // namespace

int64_t write_clip_tokenizer(const std::filesystem::path& folder, const std::filesystem::path& merges, const std::string& pad) {
  const std::string text = read_file(merges), start = "<|startoftext|>", end = "<|endoftext|>";
  Json vocabulary = Json::object();
  int64_t count = 0;
  for (const char* ending : {"", "</w>"}) {
    for (const auto& letter : byte_letters()) vocabulary.push_back({letter + ending, count++});
  }
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t space = line.find(' ');
    if (line.starts_with("#version") || space == std::string::npos) continue;
    vocabulary.push_back({line.substr(0, space) + line.substr(space + 1), count++});
  }
  for (const auto& token : {start, end}) vocabulary.push_back({token, count++});
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
