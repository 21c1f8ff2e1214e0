// Which picture stands beside which, and what a side that is drawn leaves behind.
#include <doctest/doctest.h>

#include "palate/core/device.h"
#include "palate/eval/paired.h"
#include "palate/io/image.h"
#include "tests/support/paths.h"
#include "tests/unit/eval/fake_judge.h"

using namespace palate;

namespace {

PictureSet set_of(const std::string& folder, std::vector<ManifestEntry> entries) { return {folder, std::move(entries)}; }

std::vector<std::string> images(const PictureSet& set) {
  std::vector<std::string> names;
  for (const auto& entry : set.entries) names.push_back(entry.image);
  return names;
}

Judges one_judge() {
  Judges judges;
  judges.push_back(std::make_unique<test::ChannelMean>(0));
  return judges;
}

GenerateOptions few_steps() {
  GenerateOptions options;
  options.steps = 2;
  options.batch = 2;
  options.seed = 5;
  return options;
}

}  // namespace

TEST_CASE("pairing: by prompt, seed and id, in the order of the base") {
  const auto base = set_of("base", {{"0", "a", 1, 7}, {"1", "a", 2, 7}, {"2", "b", 3, 7}});
  const auto [left, right] = paired(base, set_of("ours", {{"x", "b", 3, 7}, {"y", "a", 2, 7}, {"z", "a", 1, 7}}));
  CHECK(images(left) == std::vector<std::string>{"0", "1", "2"});
  CHECK(images(right) == std::vector<std::string>{"z", "y", "x"});
  CHECK(right.folder == "ours");
}

TEST_CASE("pairing: where noise is not known on both sides, the k-th picture of a prompt meets the k-th") {
  const auto base = set_of("base", {{"0", "a", 1, 7}, {"1", "a", 2, 7}, {"2", "b", 3, 7}});
  const auto [left, right] = paired(base, set_of("ours", {{"x", "b", {}, {}}, {"y", "a", {}, {}}, {"z", "a", {}, {}}}));
  CHECK(images(right) == std::vector<std::string>{"y", "z", "x"});
}

TEST_CASE("pairing: a picture without a partner is named, whichever side it is on") {
  const auto base = set_of("base", {{"0", "a", 1, 7}, {"1", "b", 2, 7}});
  CHECK_THROWS_WITH_AS(paired(base, set_of("ours", {{"x", "a", 1, 8}, {"y", "b", 2, 8}})),
                       doctest::Contains("base/0 (\"a\", seed 7, id 1) has no partner among the 2 pictures of ours"), UsageError);
  CHECK_THROWS_WITH_AS(paired(base, set_of("ours", {{"x", "a", 1, 7}, {"y", "b", 2, 7}, {"z", "c", 2, 7}})),
                       doctest::Contains("ours/z (\"c\", seed 7, id 2) has no partner among the 2 pictures of base"), UsageError);
  CHECK_THROWS_AS(paired(base, set_of("ours", {{"x", "a", {}, {}}, {"y", "a", {}, {}}})), UsageError);
}

TEST_CASE("a side that is drawn batch by batch has the scores of all its pictures at once, and so has what it left on disk") {
  set_threads(1);
  Pipeline pipeline(test::golden("tiny_pipeline"));
  const auto requests = paired_requests({"a cat", "a dog", "a photo of a house"}, 1);
  const Judges judges = one_judge();
  const auto folder = test::fresh_folder("side") / "pictures";
  const Side side = draw_side("base", pipeline, requests, few_steps(), judges, folder);
  CHECK(static_cast<const test::ChannelMean&>(*judges[0]).most_at_once == 2);

  const Tensor at_once = pipeline.generate(requests, few_steps());
  CHECK(side.scores.at(0).total.equal(one_judge()[0]->score(at_once, prompts_of(requests)).total));
  CHECK(side.scores[0].total.std().item<double>() > 0);

  const PictureSet left = read_pictures(folder);
  CHECK(left.prompts() == prompts_of(requests));
  CHECK(left.entries[2].id == requests[2].id);
  CHECK(left.entries[2].seed == 5u);
  for (size_t i = 0; i < requests.size(); ++i) CHECK(read_image(left.file(i)).equal(at_once[static_cast<int64_t>(i)]));
  CHECK(score_pictures(left, judges, 3).at(0).total.equal(side.scores[0].total));
}

TEST_CASE("the judges are asked about what a model would draw: its own size, or the one that is asked for; no weight is read") {
  const auto folder = test::fresh_folder("no_weights");
  std::filesystem::copy(test::golden("tiny_pipeline"), folder, std::filesystem::copy_options::recursive);
  for (const char* component : {"unet", "vae"}) std::filesystem::remove(folder / component / "diffusion_pytorch_model.safetensors");
  Pipeline pipeline(folder);  // 16 x 16
  const auto requests = paired_requests({"a cat"});
  GenerateOptions options = few_steps();
  CHECK_NOTHROW(require_all(one_judge(), pipeline, requests, options));
  options.height = 32;
  CHECK_THROWS_WITH_AS(require_all(one_judge(), pipeline, requests, options), doctest::Contains("too high"), UsageError);
  CHECK_THROWS_AS(require_all(one_judge(), pipeline, paired_requests({"refused"}), few_steps()), UsageError);
}
