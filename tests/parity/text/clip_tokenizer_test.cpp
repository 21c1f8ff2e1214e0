// Against transformers' CLIPTokenizer (golden/make_tokenizer.py).
#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "palate/core/hash.h"
#include "palate/text/clip_tokenizer.h"
#include "palate/text/clip_vocabulary.h"
#include "tests/support/paths.h"

using namespace palate;
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

json read(const std::string& name) { return json::parse(test::read_text(test::golden(name))); }
using Ids = std::vector<int64_t>;

// CLIP's own vocabulary, which SD1.5 has, from its merges.
fs::path clip_folder() {
  const fs::path folder = test::fresh_folder("clip");
  write_clip_tokenizer(folder, test::repository() / "assets/clip_tokenizer/merges.txt", "<|endoftext|>");
  return folder;
}

}  // namespace

TEST_CASE("clip tokenizer: ids, padding and text back equal transformers' on the corpus") {
  const json corpus = read("tokenizer/corpus.json"), golden = read("tokenizer.json");
  const ClipTokenizer tokenizer(test::golden("tokenizer"));
  REQUIRE(corpus.size() > 200);
  for (size_t i = 0; i < corpus.size(); ++i) {
    const std::string text = corpus[i];
    INFO(text);
    CHECK(tokenizer.tokens(text) == golden["ids"][i].get<Ids>());
    CHECK(tokenizer.encode(text, 12) == golden["padded"][i].get<Ids>());
    Ids whole = tokenizer.tokens(text);
    whole.insert(whole.begin(), tokenizer.start_id());
    whole.push_back(tokenizer.end_id());
    CHECK(tokenizer.decode(whole) == golden["decoded"][i].get<std::string>());
  }
}

TEST_CASE("clip tokenizer: with the pad token of SD2 a '!' in the text is the pad token, as in transformers") {
  const json corpus = read("tokenizer/corpus.json"), golden = read("tokenizer.json");
  const fs::path folder = test::fresh_folder("sd2");
  for (const char* name : {"vocab.json", "merges.txt", "tokenizer_config.json"}) fs::copy(test::golden("tokenizer") / name, folder / name);
  json map = read("tokenizer/special_tokens_map.json");
  map["pad_token"] = "!";
  test::write_text(folder / "special_tokens_map.json", map.dump());
  const ClipTokenizer tokenizer(folder);
  for (size_t i = 0; i < corpus.size(); ++i) {
    INFO(corpus[i].get<std::string>());
    CHECK(tokenizer.encode(corpus[i].get<std::string>(), 12) == golden["pad_mark"][i].get<Ids>());
  }
}

// The Python tokenizer of transformers 4 without ftfy drops control and format characters, cuts CJK into single characters and
// lowers a whole word at once (final sigma): only such texts may differ.
TEST_CASE("clip tokenizer: the old slow tokenizer agrees but for control and format characters, CJK, final sigma and U+0345") {
  const json corpus = read("tokenizer/corpus.json"), golden = read("tokenizer.json");
  const ClipTokenizer tokenizer(test::golden("tokenizer"));
  int64_t same = 0, differ = 0;
  for (size_t i = 0; i < corpus.size(); ++i) {
    if (golden["slow"][i].is_null()) continue;
    const std::string text = corpus[i];
    const bool equal = tokenizer.tokens(text) == golden["slow"][i].get<Ids>();
    ++(equal ? same : differ);
    const bool plain = text.size() < 200 && std::all_of(text.begin(), text.end(), [](unsigned char c) { return c >= 32 && c < 127; });
    INFO(text);
    CHECK((equal || !plain));
  }
  CHECK(differ == 11);
  CHECK(same > 200);
}

TEST_CASE("clip tokenizer: with the vocabulary of SD1.5, the corpus equals transformers'") {
  const json corpus = read("tokenizer/corpus.json"), golden = read("tokenizer.json");
  const ClipTokenizer tokenizer(clip_folder());
  CHECK(tokenizer.vocabulary_size() == 49408);
  for (size_t i = 0; i < corpus.size(); ++i) {
    INFO(corpus[i].get<std::string>());
    CHECK(tokenizer.tokens(corpus[i].get<std::string>()) == golden["real"][i].get<Ids>());
  }
}

TEST_CASE("clip tokenizer: with the vocabulary of SD1.5, every PartiPrompts line equals transformers'" * doctest::test_suite("shared") *
          doctest::skip(test::shared_missing({"partiprompts"}))) {
  const ClipTokenizer tokenizer(clip_folder());
  const std::string table = test::read_text(test::shared_data("partiprompts/PartiPrompts.tsv"));
  std::string all;
  size_t lines = 0;
  for (size_t at = table.find('\n') + 1; at < table.size(); ++lines) {
    const size_t end = std::min(table.find('\n', at), table.size());
    const std::string row = table.substr(at, end - at);
    at = end + 1;
    if (row.empty()) continue;
    std::string ids;
    for (const int64_t id : tokenizer.tokens(row.substr(0, row.find('\t')))) ids += (ids.empty() ? "" : " ") + std::to_string(id);
    all += ids + "\n";
  }
  CHECK(lines >= 1632);
  CHECK(sha256(all) == read("tokenizer.json")["prompts_sha256"].get<std::string>());
}
