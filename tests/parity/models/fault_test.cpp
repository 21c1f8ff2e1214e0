// That the bounds of the comparisons beside this file are no blanket: a fault of 1e-4 in any one weight of a model is seen. The queries and
// keys of a random model are small, so that all scores of a softmax are nearly equal and 1e-4 of them is rounding: there it is 1e-2.
#include <doctest/doctest.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <functional>

#include "palate/models/registry.h"
#include "tests/parity/models/gradients.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"

namespace palate {
namespace {

using test::GoldenFile;
// Adds an output's part of the loss; false where the output is not close to its golden value.
using Compare = std::function<bool(const std::string& key, const Tensor& got, const std::string& loss_weights)>;

double fault_of(const std::string& weight) { return weight.ends_with(".to_q.weight") || weight.ends_with(".to_k.weight") ? 1e-2 : 1e-4; }

// Runs the model once with each of its matrices and kernels scaled by 1 + a fault, and once as it is.
void expect_faults_seen(torch::nn::Module& model, const GoldenFile& golden, const std::function<bool(const Compare&)>& run) {
  test::require_gradients(model);
  const auto same = [&] {
    model.zero_grad();
    Tensor loss;
    const bool close = run([&](const std::string& key, const Tensor& got, const std::string& loss_weights) {
      const Tensor part = (got * golden.at(loss_weights)).sum();
      loss = loss.defined() ? loss + part : part;
      return golden.close(key, got);
    });
    loss.backward();
    return close && test::gradient_error(model, golden) <= golden.bound("grad");
  };
  CHECK(same());
  int64_t faults = 0;
  for (const auto& item : model.named_parameters()) {
    if (item.value().dim() < 2 || !golden.contains("grad." + item.key())) continue;
    INFO(item.key());
    const Tensor whole = item.value().detach().clone();
    const torch::NoGradGuard no_grad;
    Tensor(item.value()).mul_(1 + fault_of(item.key()));
    {
      const torch::AutoGradMode grad(true);
      CHECK_FALSE(same());
    }
    Tensor(item.value()).copy_(whole);
    ++faults;
  }
  CHECK(faults > 8);
  CHECK(same());
}

}  // namespace

TEST_CASE("faults: 1e-4 in one weight of a U-Net is seen") {
  const GoldenFile golden("unet_sd1/expected.safetensors");
  const auto model = load_denoiser(test::golden("unet_sd1"));
  expect_faults_seen(model->module(), golden, [&](const Compare& compare) {
    return compare(
        "output",
        model->predict(golden.at("sample"), golden.at("timestep"), {{"encoder_hidden_states", golden.at("encoder_hidden_states")}}),
        "loss_weights");
  });
}

TEST_CASE("faults: 1e-4 in one weight of an autoencoder is seen") {
  const GoldenFile golden("vae_sd/expected.safetensors");
  const auto model = load_autoencoder(test::golden("vae_sd"));
  expect_faults_seen(model->module(), golden, [&](const Compare& compare) {
    const Posterior posterior = model->encode(golden.at("pixels"));
    const bool mean = compare("mean", posterior.mean, "loss_weights.mean"),
               logvar = compare("logvar", posterior.logvar, "loss_weights.logvar");
    return compare("decoded", model->decode(golden.at("latents")), "loss_weights.decoded") && mean && logvar;
  });
}

TEST_CASE("faults: 1e-4 in one weight of a text encoder is seen") {
  const GoldenFile golden("clip_legacy/expected.safetensors");
  const auto model = load_text_encoder(test::golden("clip_legacy"));
  expect_faults_seen(model->module(), golden, [&](const Compare& compare) {
    const TextStates states = model->encode(golden.at("input_ids"), Tensor());
    bool close = compare("last_hidden_state", states.last_hidden_state, "loss_weights.last_hidden_state");
    close = compare("pooler_output", states.pooler_output, "loss_weights.pooler_output") && close;
    for (size_t i = 0; i < states.hidden_states.size(); ++i) {
      const std::string key = "hidden_states." + std::to_string(i);
      close = compare(key, states.hidden_states[i], "loss_weights." + key) && close;
    }
    return close;
  });
}

}  // namespace palate
