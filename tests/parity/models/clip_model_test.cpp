// Vision towers and whole CLIPModels against transformers (make_clip_model.py).
#include <doctest/doctest.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include "palate/models/clip/clip_model.h"
#include "tests/parity/models/gradients.h"
#include "tests/support/paths.h"

namespace palate {
namespace {

// Compares one output and adds its part to the loss.
void add_output(const std::string& name, const Tensor& got, const test::GoldenFile& golden, Tensor& loss) {
  golden.expect(name, got);
  const Tensor part = (got * golden.at("loss_weights." + name)).sum();
  loss = loss.defined() ? loss + part : part;
}

}  // namespace

TEST_CASE("clip model: embeddings of both towers, scores and every gradient equal transformers'") {
  for (const std::string name : {"clip_model_quick", "clip_model_gelu"}) {
    SUBCASE(name.c_str()) {
      const test::GoldenFile golden(name + "/expected.safetensors");
      const auto model = load_clip_model(test::golden(name));
      test::require_gradients(model->module());
      Tensor loss;
      const Tensor images = model->image_embeds(golden.at("pixel_values")), texts = model->text_embeds(golden.at("input_ids"));
      add_output("image_embeds", images, golden, loss);
      add_output("text_embeds", texts, golden, loss);
      add_output("scores", model->scores(images, texts), golden, loss);
      loss.backward();
      test::expect_gradients(model->module(), golden);
    }
  }
}

TEST_CASE("clip vision: hidden states, pooled output and every gradient equal transformers'") {
  const test::GoldenFile golden("clip_vision/expected.safetensors");
  const auto model = load_vision_encoder(test::golden("clip_vision"));
  test::require_gradients(model->module());
  const VisionStates states = model->encode(golden.at("pixel_values"));
  Tensor loss;
  add_output("last_hidden_state", states.last_hidden_state, golden, loss);
  add_output("pooler_output", states.pooler_output, golden, loss);
  CHECK_FALSE(golden.contains("hidden_states." + std::to_string(states.hidden_states.size())));
  for (size_t i = 0; i < states.hidden_states.size(); ++i)
    add_output("hidden_states." + std::to_string(i), states.hidden_states[i], golden, loss);
  loss.backward();
  test::expect_gradients(model->module(), golden);
}

}  // namespace palate
