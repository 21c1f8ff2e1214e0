// Pictures of the class: drawn once, drawn again where they are missing, to the same bits; and what else they are named by.
#include <doctest/doctest.h>

#include <algorithm>
#include <functional>

#include "palate/core/error.h"
#include "palate/train/prior_pictures.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

RunConfig drawing(int64_t pictures) {
  RunConfig config;
  config.prior.class_prompt = "a red circle";
  config.prior.pictures = pictures;
  config.prior.steps = 2;
  config.prior.batch = 3;
  return config;
}

std::vector<std::string> bytes_in(const fs::path& folder) {
  std::vector<std::string> all;
  for (int i = 0; i < 7; ++i) all.push_back(read_text(folder / concat("0000", i, ".png")));
  return all;
}

int64_t lines_of(const fs::path& file) {
  const std::string text = read_text(file);
  return std::count(text.begin(), text.end(), '\n');
}

}  // namespace

TEST_CASE("prior pictures: a run that was stopped draws what is missing, to the bits that it would have drawn at once") {
  Pipeline pipeline(golden("tiny_pipeline"));
  const RunConfig config = drawing(7);
  const fs::path whole = prior_pictures(pipeline, config, fresh_folder("prior_whole"));
  const auto pictures = bytes_in(whole);
  CHECK(pictures[0] != pictures[1]);
  CHECK(lines_of(whole / "manifest.jsonl") == 7);

  // Killed behind the fourth picture, in the middle of a batch; the fifth was written, and its line was not.
  const fs::path caches = fresh_folder("prior_cut"), cut = caches / whole.filename();
  fs::copy(whole, cut);
  std::string lines = read_text(whole / "manifest.jsonl");
  for (int line = 0; line < 3; ++line) lines.erase(lines.rfind('\n', lines.size() - 2) + 1);
  write_text(cut / "manifest.jsonl", lines + "{\"image\":\"0000");
  for (const char* name : {"00005.png", "00006.png"}) fs::remove(cut / name);
  write_text(cut / "00004.png", "half a picture");
  CHECK(prior_pictures(pipeline, config, caches) == cut);
  CHECK(bytes_in(cut) == pictures);

  // Killed at the first one, before there was a manifest.
  const fs::path begun = fresh_folder("prior_begun");
  write_text(begun / whole.filename() / "00000.png", "half a picture");
  CHECK(bytes_in(prior_pictures(pipeline, config, begun)) == pictures);
}

TEST_CASE("prior pictures: another prompt, seed or sampler is another folder; a person's own is taken as it is") {
  Pipeline pipeline(golden("tiny_pipeline"));
  const fs::path caches = fresh_folder("prior_names");
  std::vector<fs::path> folders = {prior_pictures(pipeline, drawing(1), caches)};
  const auto with = [&](const std::function<void(RunConfig&)>& change) {
    RunConfig config = drawing(1);
    change(config);
    folders.push_back(prior_pictures(pipeline, config, caches));
  };
  with([](RunConfig& config) { config.prior.class_prompt = "a blue circle"; });
  with([](RunConfig& config) { config.seed = 1; });
  with([](RunConfig& config) { config.prior.sampler = "ddim"; });
  with([](RunConfig& config) { config.prior.steps = 3; });
  std::sort(folders.begin(), folders.end());
  CHECK(std::adjacent_find(folders.begin(), folders.end()) == folders.end());
  RunConfig own = drawing(1);
  own.prior.folder = golden("tiny_model").string();
  CHECK(prior_pictures(pipeline, own, caches) == golden("tiny_model"));
}
