#include <doctest/doctest.h>

#include "palate/pretrain/tokenizer_files.h"
#include "palate/text/clip_tokenizer.h"
#include "palate/world/caption.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::world;

TEST_CASE("tokenizer: CLIP's layout with every word of the world whole") {
  const auto folder = test::fresh_folder("tokenizer");
  write_tokenizer(folder);
  const ClipTokenizer tokenizer(folder);
  CHECK(tokenizer.vocabulary_size() == 613);
  CHECK(tokenizer.start_id() == 611);
  CHECK(tokenizer.end_id() == 612);
  CHECK(tokenizer.pad_id() == 612);
  CHECK(tokenizer.max_length() == token_count);
  const auto vocabulary = tokenizer_vocabulary();
  for (const auto& word : vocabulary_words()) {
    const auto ids = tokenizer.tokens(word);
    REQUIRE(ids.size() == 1);
    CHECK(vocabulary[static_cast<size_t>(ids[0])] == word + "</w>");
  }
  CHECK(tokenizer.tokens("elephant").size() > 1);  // other words fall into letters
}

TEST_CASE("tokenizer: the longest caption fits, word by word") {
  const auto folder = test::fresh_folder("tokenizer_long");
  write_tokenizer(folder);
  const ClipTokenizer tokenizer(folder);
  CHECK(tokenizer.tokens("a big red circle left of a small blue ring on a white background").size() == 14);
  CHECK(tokenizer.tokens("a big red circle on a white background").size() == 8);
  const auto ids = tokenizer.encode("a big red circle left of a small blue ring on a white background");
  CHECK(ids.size() == 16);
  CHECK(ids.front() == 611);
  CHECK(ids.back() == 612);
}
