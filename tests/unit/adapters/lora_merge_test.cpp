// Sums, smaller ranks, and full weights.
#include "palate/adapters/lora_merge.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include "palate/core/error.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

const std::string to_q = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q", conv1 = "down_blocks.0.resnets.0.conv1",
                  text_q = "text_model.encoder.layers.0.self_attn.q_proj";

Tensor ripple(std::vector<int64_t> sizes, double phase) {
  int64_t count = 1;
  for (auto size : sizes) count *= size;
  return (torch::arange(count).to(torch::kFloat32) * 0.37 + phase).sin().view(sizes) +
         0.1 * (torch::arange(count).to(torch::kFloat32) * (1.7 + phase)).cos().view(sizes);
}

LoraFile some_lora(double phase, int64_t rank, float alpha) {
  LoraFile lora;
  lora.origin = "some";
  lora.components["unet"][to_q] = {ripple({rank, 5}, phase), ripple({6, rank}, phase + 2), {}, alpha};
  lora.components["unet"][conv1] = {ripple({rank, 2, 3, 3}, phase + 3), ripple({3, rank, 1, 1}, phase + 4), {}, alpha};
  return lora;
}

Tensor delta(const LoraFile& lora, const std::string& name) { return delta_weight(lora.components.at("unet").at(name)); }

// A model folder with a sharded half-precision U-Net, a variant, and files that go along untouched.
fs::path folder() {
  const fs::path model = fresh_folder("merge_model");
  fs::create_directories(model / "unet");
  fs::create_directories(model / "text_encoder");
  write_text(model / "model_index.json", "{}");
  write_text(model / "unet/config.json", "{\"a\": 1}");
  write_text(model / "unet/diffusion_pytorch_model.bin", "stale");
  save_safetensors(model / "unet/a-00001-of-00002.safetensors",
                   {{to_q + ".weight", ripple({6, 5}, 1).to(torch::kBFloat16)}, {to_q + ".bias", ripple({6}, 1)}});
  save_safetensors(model / "unet/a-00002-of-00002.safetensors", {{conv1 + ".weight", ripple({3, 2, 3, 3}, 1)}}, {{"format", "pt"}});
  save_safetensors(model / "text_encoder/model.safetensors", {{"encoder.layers.0.self_attn.q_proj.weight", ripple({4, 4}, 1)},
                                                              {"embeddings.token_embedding.weight", ripple({9, 4}, 1)}});
  return model;
}

}  // namespace

TEST_CASE("lora merge: the concatenation is the weighted sum") {
  const LoraFile a = some_lora(1, 2, 3), b = some_lora(7, 4, 1);
  const LoraFile sum = concatenate_loras({{a, 0.75}, {b, -0.5}});
  CHECK(sum.components.at("unet").at(to_q).rank() == 6);
  for (const auto& name : {to_q, conv1}) expect_close(name, delta(sum, name), 0.75 * delta(a, name) - 0.5 * delta(b, name), 1e-6);
  LoraFile other = some_lora(1, 2, 2);
  other.components["unet"][to_q].down = ripple({2, 6}, 1);
  CHECK_THROWS_WITH_AS(concatenate_loras({{a, 1}, {other, 1}}), doctest::Contains("different models"), UsageError);
}

TEST_CASE("lora resize: full rank keeps everything; less keeps the best; what is lost is what was said") {
  const LoraFile sum = concatenate_loras({{some_lora(1, 2, 3), 1}, {some_lora(7, 1, 1), 1}});
  double lost = 1;
  const LoraFile whole = resize_lora(sum, {}, &lost);
  CHECK(lost < 1e-9);
  for (const auto& name : {to_q, conv1}) expect_close(name, delta(whole, name), delta(sum, name), 1e-6);
  const LoraFile one = resize_lora(sum, {.rank = 1}, &lost);
  double left = 0, all = 0;
  for (const auto& name : {to_q, conv1}) {
    CHECK(one.components.at("unet").at(name).rank() == 1);
    const Tensor full = delta(sum, name).flatten(1), rest = full - delta(one, name).flatten(1);
    // Eckart and Young: the rest of the best approximation has the second singular value as its largest.
    const Tensor values = at::linalg_svdvals(full);
    CHECK(at::linalg_svdvals(rest)[0].item<double>() == doctest::Approx(values[1].item<double>()).epsilon(1e-4));
    left += rest.square().sum().item<double>();
    all += full.square().sum().item<double>();
  }
  CHECK(lost == doctest::Approx(std::sqrt(left / all)).epsilon(1e-4));
}

TEST_CASE("lora resize: a share of the norm picks each layer's rank") {
  const LoraFile sum = concatenate_loras({{some_lora(1, 2, 3), 1}, {some_lora(7, 2, 0.01F), 1}});
  double lost = 1;
  const LoraFile small = resize_lora(sum, {.keep = 0.99}, &lost);
  CHECK(small.components.at("unet").at(to_q).rank() < 4);
  CHECK(lost <= 0.1);  // sqrt(1 - 0.99)
  LoraFile zero = some_lora(1, 2, 3);
  for (auto& [name, module] : zero.components["unet"]) module.up = torch::zeros_like(module.up);
  CHECK(resize_lora(zero, {.keep = 0.5}, &lost).components.at("unet").at(to_q).rank() == 1);
  CHECK(lost == 0);
}

TEST_CASE("lora merge: into a model's weights, in float32 and back to their type, shard by shard") {
  const fs::path model = folder(), out = fresh_folder("merge_out") / "merged";
  LoraFile lora = some_lora(1, 2, 3);
  lora.components["text_encoder"][text_q] = {ripple({1, 4}, 1), ripple({4, 1}, 2), {}, 1};
  CHECK(merge_into_model(model, out, {{lora, 0.5}, {some_lora(3, 1, 1), 2}}) == 3);
  const Tensor update = 0.5 * delta(lora, to_q) + 2 * delta(some_lora(3, 1, 1), to_q);
  const SafetensorsFile before(model / "unet/a-00001-of-00002.safetensors"), after(out / "unet/a-00001-of-00002.safetensors");
  expect_close("to_q", after.tensor(to_q + ".weight"), (before.tensor(to_q + ".weight").to(torch::kFloat32) + update).to(torch::kBFloat16),
               4e-3);  // one bf16 step
  CHECK((after.tensor(to_q + ".weight").scalar_type() == torch::kBFloat16));
  expect_equal("bias", after.tensor(to_q + ".bias"), before.tensor(to_q + ".bias"));
  const SafetensorsFile text(out / "text_encoder/model.safetensors"), plain(model / "text_encoder/model.safetensors");
  const std::string key = "encoder.layers.0.self_attn.q_proj.weight";
  expect_close("q_proj", text.tensor(key), plain.tensor(key) + 0.5 * delta_weight(lora.components["text_encoder"][text_q]), 1e-6);
  expect_equal("embedding", text.tensor("embeddings.token_embedding.weight"), plain.tensor("embeddings.token_embedding.weight"));
  CHECK(SafetensorsFile(out / "unet/a-00002-of-00002.safetensors").metadata().at("format") == "pt");
  CHECK(read_text(out / "unet/config.json") == "{\"a\": 1}");
  CHECK_FALSE(fs::exists(out / "unet/diffusion_pytorch_model.bin"));  // it would not be merged
}

TEST_CASE("lora merge: DoRA goes into weights, not into a LoRA") {
  LoraFile lora = some_lora(1, 2, 3);
  for (auto& [name, module] : lora.components["unet"]) module.magnitude = torch::full({module.up.size(0), 1}, 2.0);
  CHECK_THROWS_WITH_AS(concatenate_loras({{lora, 1}}), doctest::Contains("--model"), UsageError);
  CHECK_THROWS_WITH_AS(resize_lora(lora, {.rank = 1}), doctest::Contains("--model"), UsageError);
  const fs::path model = folder(), out = fresh_folder("merge_out") / "merged";
  merge_into_model(model, out, {{lora, 1}});
  const Tensor weight = SafetensorsFile(out / "unet/a-00002-of-00002.safetensors").tensor(conv1 + ".weight").clone();
  expect_close("norms", at::linalg_vector_norm(weight.flatten(1), 2, at::IntArrayRef{1}), torch::full({3}, 2.0), 1e-5);
}

TEST_CASE("lora merge: a layer that the model lacks is named, and nothing is left behind") {
  const fs::path model = folder(), out = fresh_folder("merge_out") / "merged";
  LoraFile lora = some_lora(1, 2, 3);
  lora.components["unet"]["conv_in"] = {ripple({1, 4}, 1), ripple({4, 1}, 2), {}, 1};
  CHECK_THROWS_WITH_AS(merge_into_model(model, out, {{lora, 1}}), doctest::Contains("unet.conv_in has no weight"), UsageError);
  CHECK(fs::is_empty(out.parent_path()));
  lora.components["unet"].erase("conv_in");
  lora.components["unet"][to_q].up = ripple({7, 2}, 1);
  CHECK_THROWS_WITH_AS(merge_into_model(model, out, {{lora, 1}}), doctest::Contains("but the model's is [6, 5]"), UsageError);
}
