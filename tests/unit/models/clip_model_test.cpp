#include "palate/models/clip/clip_model.h"

#include <doctest/doctest.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/models/clip/clip_vision.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"

using namespace palate;

namespace {

Json clip_json() { return read_json(test::golden("clip_model_quick") / "config.json"); }

}  // namespace

TEST_CASE("clip model: fresh weights depend on the seed alone, are drawn by transformers' rule, and load to the same bits") {
  const auto folder = test::fresh_folder("clip_model");
  Json config = clip_json();
  config["text_config"]["vocab_size"] = 1000;
  const auto model = make_clip_model(config, 3), again = make_clip_model(config, 3);
  save_clip_model(*model, folder);
  const auto loaded = load_clip_model(folder);
  CHECK(loaded->config() == config);
  const auto values = model->module().named_parameters(), same = again->module().named_parameters(),
             read = loaded->module().named_parameters();
  for (const auto& item : values) {
    test::expect_equal(item.key(), item.value(), same[item.key()]);
    test::expect_equal(item.key(), item.value(), read[item.key()]);
  }
  CHECK(values["logit_scale"].item<float>() == doctest::Approx(2.6592));
  CHECK(model->scale().item<float>() == doctest::Approx(14.285).epsilon(1e-3));
  CHECK(values["vision_model.pre_layrnorm.weight"].eq(1).all().item<bool>());
  CHECK(values["text_model.encoder.layers.0.mlp.fc1.bias"].eq(0).all().item<bool>());
  CHECK(values["text_model.embeddings.token_embedding.weight"].std().item<double>() == doctest::Approx(0.02).epsilon(0.03));
  // Width 20, two layers: 1 / sqrt(20 * 4) in, 1 / sqrt(20) out.
  CHECK(values["vision_model.encoder.layers.1.self_attn.q_proj.weight"].std().item<double>() == doctest::Approx(0.1118).epsilon(0.15));
  CHECK(values["vision_model.encoder.layers.1.self_attn.out_proj.weight"].std().item<double>() == doctest::Approx(0.2236).epsilon(0.15));
}

TEST_CASE("clip model: a score is exp(logit_scale) cos, whatever the embeddings' lengths") {
  const auto model = make_clip_model(clip_json(), 1);
  const Tensor texts = torch::tensor({{2.0f, 0.0f}, {0.0f, 3.0f}}),
               images = torch::tensor({{5.0f, 0.0f}, {1.0f, 1.0f}, {0.0f, 4.0f}, {0.0f, -0.1f}});
  const Tensor cos = model->scores(images, texts) / model->scale();
  const Tensor expected = torch::tensor({1.0, 0.70710678, 0.0, -1.0});
  test::expect_close("cos", cos, expected, 1e-6);
}

TEST_CASE("clip model: says what is missing") {
  Json config = clip_json();
  config.erase("text_config");
  CHECK_THROWS_WITH_AS(make_clip_model(config, 1), doctest::Contains("expected 'text_config' of a CLIPModel, found none"), UsageError);
  CHECK_THROWS_WITH_AS(load_clip_model(test::golden("clip_vision")), doctest::Contains("the class 'CLIPVisionModel' is not"), UsageError);
  CHECK_THROWS_WITH_AS(load_clip_model("nowhere"), doctest::Contains("found none"), UsageError);
  const auto model = make_clip_model(clip_json(), 1);
  CHECK_THROWS_WITH_AS(model->image_embeds(torch::zeros({1, 3, 8, 12})), doctest::Contains("[B, 3, 12, 12], got [1, 3, 8, 12]"),
                       UsageError);
  // transformers 5 saves a vision model without the prefix that all before it wrote.
  CHECK(current_clip_vision_name("embeddings.class_embedding") == "vision_model.embeddings.class_embedding");
  CHECK(current_clip_vision_name("vision_model.pre_layrnorm.bias") == "vision_model.pre_layrnorm.bias");
}

TEST_CASE("clip model: of configs that give a tower twice the second counts") {
  Json config = clip_json();
  config["text_config_dict"] = {{"vocab_size", 77}};
  CHECK(make_clip_model(config, 1)->module().named_parameters()["text_model.embeddings.token_embedding.weight"].size(0) == 77);
}
