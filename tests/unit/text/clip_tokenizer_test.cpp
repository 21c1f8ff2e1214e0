#include <doctest/doctest.h>

#include <string>

#include "palate/core/error.h"
#include "palate/text/clip_tokenizer.h"
#include "tests/support/paths.h"

using namespace palate;
namespace fs = std::filesystem;

namespace {

constexpr const char* vocabulary = R"({"!":0,"a":1,"b":2,"a</w>":3,"b</w>":4,"ab</w>":5,"<|startoftext|>":6,"<|endoftext|>":7})";
constexpr const char* merges = "#version: 0.2\na b</w>\n";

fs::path folder_with(const std::string& name, const std::string& vocab, const std::string& merge_list) {
  const fs::path folder = test::fresh_folder(name);
  test::write_text(folder / "vocab.json", vocab);
  test::write_text(folder / "merges.txt", merge_list);
  return folder;
}

// The message of the error that reading such a folder throws; "" when it is read.
std::string refusal(const std::string& vocab, const std::string& merge_list) {
  try {
    const ClipTokenizer tokenizer(folder_with("refusal", vocab, merge_list));
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

using Ids = std::vector<int64_t>;

}  // namespace

TEST_CASE("clip tokenizer: start, tokens, end and padding to the asked length") {
  const ClipTokenizer tokenizer(folder_with("plain", vocabulary, merges));
  CHECK(tokenizer.tokens("ab a") == Ids{5, 3});
  CHECK(tokenizer.encode("ab a", 6) == Ids{6, 5, 3, 7, 7, 7});
  CHECK(tokenizer.encode("ab a b ab", 4) == Ids{6, 5, 3, 7});  // cut so that the end fits
  CHECK(tokenizer.encode("", 3) == Ids{6, 7, 7});
  CHECK(tokenizer.encode("a").size() == 77);  // what CLIP has, where no file says
  CHECK(tokenizer.vocabulary_size() == 8);
  CHECK(tokenizer.decode({6, 5, 3, 7}) == "<|startoftext|>ab a <|endoftext|>");
  CHECK_THROWS_AS(tokenizer.encode("a", 1), UsageError);
  CHECK_THROWS_AS(tokenizer.decode({8}), UsageError);
}

TEST_CASE("clip tokenizer: the special tokens map wins over the config, and a pad token is cut out of the text") {
  const fs::path folder = folder_with("pad", vocabulary, merges);
  test::write_text(folder / "tokenizer_config.json", R"({"model_max_length": 5, "pad_token": "<|endoftext|>"})");
  CHECK(ClipTokenizer(folder).pad_id() == 7);
  test::write_text(folder / "special_tokens_map.json", R"({"pad_token": "!"})");
  const ClipTokenizer tokenizer(folder);
  CHECK(tokenizer.pad_id() == 0);
  CHECK(tokenizer.max_length() == 5);
  CHECK(tokenizer.encode("a") == Ids{6, 3, 7, 0, 0});
  CHECK(tokenizer.tokens("ab!a!!") == Ids{5, 0, 3, 0, 0});
}

TEST_CASE("clip tokenizer: tokens added to the vocabulary get their ids and are found before any merge") {
  const fs::path folder = folder_with("added", vocabulary, merges);
  test::write_text(folder / "added_tokens.json", R"({"<Cat>": 8})");
  test::write_text(folder / "special_tokens_map.json", R"({"pad_token": "<pad>"})");
  const ClipTokenizer tokenizer(folder);
  CHECK(tokenizer.tokens("a<cat>b <CAT>") == Ids{3, 8, 4, 8});
  CHECK(tokenizer.pad_id() == 9);
  CHECK(tokenizer.vocabulary_size() == 10);
}

TEST_CASE("clip tokenizer: tokenizer.json stands in for vocab.json and merges.txt") {
  const fs::path folder = test::fresh_folder("single_file");
  test::write_text(folder / "tokenizer.json",
                   std::string(R"({"added_tokens": [{"id": 7, "content": "<|endoftext|>", "normalized": false, "special": true}],
    "model": {"type": "BPE", "vocab": )") +
                       vocabulary + R"(, "merges": [["a", "b</w>"]]}})");
  CHECK(ClipTokenizer(folder).tokens("ab <|endoftext|>") == Ids{5, 7});
}

TEST_CASE("clip tokenizer: broken files are refused with the place and the reason") {
  CHECK(has(refusal("{\"a\":", merges), "vocab.json"));
  CHECK(has(refusal("[]", merges), "expected a JSON object"));
  CHECK(has(refusal("{}", merges), "an empty one"));
  CHECK(has(refusal(R"({"a": "x"})", merges), "the id of 'a'"));
  CHECK(has(refusal(R"({"a": -1})", merges), "the id of 'a'"));
  CHECK(has(refusal(R"({"a": 4294967296})", merges), "the id of 'a'"));
  CHECK(has(refusal(vocabulary, "#version: 0.2\na b</w>\na\n"), "merges.txt:3"));
  CHECK(has(refusal(vocabulary, "a b c\n"), "merges.txt:1"));
  CHECK(has(refusal(vocabulary, "a z\n"), "needs 'z'"));
  CHECK(has(refusal(vocabulary, "b a\n"), "needs 'ba'"));
  CHECK(has(refusal("version https://git-lfs.github.com/spec/v1\n", merges), "vocab.json: is a Git LFS pointer"));
  CHECK(refusal(vocabulary, "#version: 0.2\r\na b</w>\r\n\r\n").empty());  // Windows' line ends are no fault

  const fs::path folder = folder_with("flags", vocabulary, merges);
  test::write_text(folder / "special_tokens_map.json", R"({"pad_token": {"content": "!", "lstrip": true}})");
  CHECK_THROWS_AS(ClipTokenizer{folder}, FormatError);
  CHECK_THROWS_AS(ClipTokenizer(test::fresh_folder("empty")), IoError);
}
