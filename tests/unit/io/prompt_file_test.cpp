#include "palate/io/prompt_file.h"

#include <doctest/doctest.h>

#include "palate/core/error.h"
#include "tests/support/paths.h"

using namespace palate;
namespace fs = std::filesystem;

TEST_CASE("prompt file: one prompt a line, whoever wrote the file") {
  const fs::path folder = test::fresh_folder("prompt_file");
  const auto read = [&](const std::string& text) {
    test::write_text(folder / "prompts.txt", text);
    return read_prompt_file(folder / "prompts.txt");
  };
  CHECK(read("\xEF\xBB\xBF"
             "a cat\r\n\r\n  \na dog") == std::vector<std::string>{"a cat", "a dog"});
  CHECK(read("ein K\xC3\xA4tzchen\n") == std::vector<std::string>{"ein K\xC3\xA4tzchen"});
  CHECK_THROWS_WITH_AS(read("a cat\nK\xE4tzchen\n"), doctest::Contains("prompts.txt:2: is not UTF-8"), UsageError);
  CHECK_THROWS_WITH_AS(read("\n \n"), doctest::Contains("expected one prompt a line, found none"), UsageError);
  CHECK_THROWS_WITH_AS(read_prompt_file(folder), doctest::Contains("found a folder"), UsageError);
  CHECK_THROWS_WITH_AS(read_prompt_file(folder / "none.txt"), doctest::Contains("there is no such file of prompts"), UsageError);
}
