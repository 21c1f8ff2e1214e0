// The autoencoder against diffusers (make_vae.py), the text encoders against transformers (make_clip.py).
#include <doctest/doctest.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include "palate/models/registry.h"
#include "tests/parity/models/gradients.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"

namespace palate {
namespace {

// Compares one output and adds its part to the loss.
void use(const std::string& name, const Tensor& got, const test::GoldenFile& golden, Tensor& loss) {
  golden.expect(name, got);
  const Tensor part = (got * golden.at("loss_weights." + name)).sum();
  loss = loss.defined() ? loss + part : part;
}

}  // namespace

TEST_CASE("vae: posterior, decoded picture and every gradient equal diffusers'") {
  for (const std::string name : {"vae_sd", "vae_bare", "vae_attention"}) {
    SUBCASE(name.c_str()) {
      const test::GoldenFile golden(name + "/expected.safetensors");
      const auto model = load_autoencoder(test::golden(name));
      test::require_gradients(model->module());
      Tensor loss;
      const Posterior posterior = model->encode(golden.at("pixels"));
      use("mean", posterior.mean, golden, loss);
      use("logvar", posterior.logvar, golden, loss);
      use("decoded", model->decode(golden.at("latents")), golden, loss);
      loss.backward();
      test::expect_gradients(model->module(), golden);
    }
  }
  CHECK(load_autoencoder(test::golden("vae_sd"))->scaling_factor() == 0.18215);
  CHECK(load_autoencoder(test::golden("vae_bare"))->scaling_factor() == 0.5);
  CHECK(load_autoencoder(test::golden("vae_sd"))->factor() == 4);
}

TEST_CASE("clip: hidden states, pooled output, projection and every gradient equal transformers'") {
  for (const std::string name : {"clip_legacy", "clip_padded", "clip_projection", "clip_masked"}) {
    SUBCASE(name.c_str()) {
      const test::GoldenFile golden(name + "/expected.safetensors");
      const auto model = load_text_encoder(test::golden(name));
      test::require_gradients(model->module());
      const TextStates states =
          model->encode(golden.at("input_ids"), golden.contains("attention_mask") ? golden.at("attention_mask") : Tensor());
      Tensor loss;
      use("last_hidden_state", states.last_hidden_state, golden, loss);
      CHECK(states.text_embeds.defined() == golden.contains("text_embeds"));
      if (states.text_embeds.defined()) use("text_embeds", states.text_embeds, golden, loss);
      if (golden.contains("pooler_output")) use("pooler_output", states.pooler_output, golden, loss);
      CHECK_FALSE(golden.contains("hidden_states." + std::to_string(states.hidden_states.size())));
      for (size_t i = 0; i < states.hidden_states.size(); ++i)
        use("hidden_states." + std::to_string(i), states.hidden_states[i], golden, loss);
      loss.backward();
      test::expect_gradients(model->module(), golden);
    }
  }
}

}  // namespace palate
