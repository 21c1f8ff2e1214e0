#include <doctest/doctest.h>
#include <torch/types.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/io/json.h"
#include "palate/io/safetensors.h"
#include "palate/judge/judge.h"
#include "palate/pipeline/clip_scorer.h"
#include "tests/support/paths.h"
#include "tests/unit/judge/clip_folder.h"

using namespace palate;
namespace fs = std::filesystem;

namespace {

Json tiny_config() {
  const Json tower = {{"hidden_size", 16}, {"intermediate_size", 32}, {"num_hidden_layers", 1}, {"num_attention_heads", 2}};
  Json text = tower, vision = tower;
  text.update({{"vocab_size", 613}, {"max_position_embeddings", 16}, {"bos_token_id", 611}, {"eos_token_id", 612}});
  vision.update({{"image_size", 8}, {"patch_size", 4}});
  return {{"architectures", {"CLIPModel"}}, {"projection_dim", 8}, {"text_config", text}, {"vision_config", vision}};
}

fs::path copy_of(const std::string& name) {
  const fs::path folder = test::fresh_folder(name);
  fs::copy(test::clip_folder(), folder, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  return folder;
}

TensorMap weights_of(const fs::path& folder) {
  const SafetensorsFile file(folder / "model.safetensors");
  TensorMap weights;
  for (const auto& name : file.names()) weights[name] = file.tensor(name).clone();
  return weights;
}

std::unique_ptr<Judge> judge_of(const fs::path& folder) { return make_judge("clip:" + folder.string()); }

const std::vector<std::string> prompts_asked = {"a big red circle", "a small blue ring", "a star"};

}  // namespace

fs::path palate::test::clip_folder() {
  static const fs::path made = [] {
    const fs::path folder = fresh_folder("clip_folder"), config = fresh_folder("clip_config");
    write_json(config / "config.json", tiny_config());
    write_json(config / "preprocessor_config.json", {{"size", {{"shortest_edge", 8}}}, {"crop_size", 8}});
    ClipScorer::fresh(config, repository() / "assets/base/tokenizer", 5).save(folder);
    return folder;
  }();
  return made;
}

TEST_CASE("clip: scores pictures of any size by their prompts, one at a time as in a batch") {
  const auto judge = judge_of(test::clip_folder());
  torch::manual_seed(1);
  const Tensor pictures = torch::randint(0, 256, {3, 3, 12, 20}, torch::kUInt8);
  const Scores scores = judge->score(pictures, prompts_asked);
  CHECK(scores.parts.empty());
  CHECK(scores.total.dtype() == torch::kFloat64);
  for (int64_t i = 0; i < 3; ++i) {
    const double alone = judge->score(pictures.narrow(0, i, 1), {prompts_asked[static_cast<size_t>(i)]}).total.item<double>();
    CHECK(alone == doctest::Approx(scores.total[i].item<double>()).epsilon(1e-5));
  }
  // By hand: what the processor leaves of the picture, and exp(logit_scale) times the cosine.
  ClipScorer scorer(test::clip_folder());
  const Tensor pixels = scorer.images().pixel_values(scorer.images().fit(pictures[1]).unsqueeze(0));
  const Tensor image = scorer.model().image_embeds(pixels), text = scorer.model().text_embeds(scorer.ids({prompts_asked[1]}));
  const double cosine = torch::cosine_similarity(image, text).item<double>();
  CHECK(scores.total[1].item<double>() == doctest::Approx(std::exp(2.6592) * cosine).epsilon(1e-5));
  CHECK_NOTHROW(judge->require(512, 768, {"anything"}));
  CHECK_FALSE(judge->tie_margin().has_value());
}

TEST_CASE("clip: identity follows the weights, not the folder's place") {
  const fs::path same = copy_of("clip_same"), other = copy_of("clip_other");
  TensorMap weights = weights_of(other);
  weights["logit_scale"] += 1e-3;
  save_safetensors(other / "model.safetensors", weights);
  CHECK(judge_of(same)->identity() == judge_of(test::clip_folder())->identity());
  CHECK(judge_of(other)->identity() != judge_of(test::clip_folder())->identity());
}

TEST_CASE("clip: a folder that is no CLIPModel's is refused in one sentence") {
  CHECK_THROWS_WITH_AS(judge_of("nowhere"), doctest::Contains("nowhere"), UsageError);
  CHECK_THROWS_WITH_AS(judge_of(test::repository() / "assets/base/unet"), doctest::Contains("the class 'UNet2DConditionModel' is not"),
                       UsageError);
  CHECK_THROWS_WITH_AS(judge_of(test::repository() / "assets/base/text_encoder"), doctest::Contains("the class 'CLIPTextModel' is not"),
                       UsageError);
  const auto refused = [](const std::string& name, const auto& damage, const std::string& sentence) {
    const fs::path folder = copy_of(name);
    damage(folder);
    CHECK_THROWS_WITH_AS(judge_of(folder), doctest::Contains(sentence.c_str()), UsageError);
  };
  const auto without = [](const char* key) {
    return [key](const fs::path& folder) {
      Json config = tiny_config();
      config.erase(key);
      write_json(folder / "config.json", config);
    };
  };
  refused("clip_no_text", without("text_config"), "expected 'text_config' of a CLIPModel, found none");
  refused(
      "clip_no_tokenizer", [](const fs::path& folder) { fs::remove(folder / "vocab.json"); }, "expected the tokenizer's files vocab.json");
  refused(
      "clip_no_weights", [](const fs::path& folder) { fs::remove(folder / "model.safetensors"); }, "expected model.safetensors");
  refused(
      "clip_size",
      [](const fs::path& folder) {
        write_json(folder / "preprocessor_config.json", {{"crop_size", 12}});
      },
      "makes pictures of 12x12, but the vision tower of config.json takes 8x8");
}

TEST_CASE("clip: a score that is not a number is not passed on") {
  const fs::path folder = copy_of("clip_nan");
  TensorMap weights = weights_of(folder);
  weights["visual_projection.weight"].fill_(std::numeric_limits<float>::quiet_NaN());
  save_safetensors(folder / "model.safetensors", weights);
  const auto judge = judge_of(folder);
  const Tensor picture = torch::zeros({1, 3, 8, 8}, torch::kUInt8);
  CHECK_THROWS_WITH_AS(judge->score(picture, {"a star"}), doctest::Contains("the score of a picture of \"a star\" is not a finite number"),
                       Error);
}
