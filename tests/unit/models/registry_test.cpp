// Model folders: what a config may say, what fresh weights are, and that saving and loading lose nothing.
#include "palate/models/registry.h"

#include <ATen/Parallel.h>
#include <doctest/doctest.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/models/unet/unet_2d_condition.h"
#include "palate/models/vae/factor.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"

namespace palate {
namespace {

// Tensors of a few hundred numbers: a second thread only waits.
[[maybe_unused]] const bool one_thread = (at::set_num_threads(1), true);

int64_t parameter_count(torch::nn::Module& model) {
  int64_t count = 0;
  for (const auto& parameter : model.parameters()) count += parameter.numel();
  return count;
}

void expect_same_weights(torch::nn::Module& a, torch::nn::Module& b) {
  const auto left = a.named_parameters(), right = b.named_parameters();
  REQUIRE(left.size() == right.size());
  for (const auto& item : left) test::expect_equal(item.key(), item.value(), right[item.key()]);
}

Json golden_config(const std::string& name) { return read_json(test::golden(name) / "config.json"); }

void expect_refused(const std::string& key, const Json& value, const std::string& text) {
  Json config = golden_config("unet_sd1");
  config[key] = value;
  CAPTURE(key);
  CHECK_THROWS_WITH_AS(make_denoiser(config, 1), doctest::Contains(text.c_str()), Error);
}

}  // namespace

TEST_CASE("registry: fresh models depend on the seed alone, save, and load to the same bits") {
  const auto folder = test::fresh_folder("registry");
  const auto unet = make_denoiser(golden_config("unet_xl"), 3), again = make_denoiser(golden_config("unet_xl"), 3);
  expect_same_weights(unet->module(), again->module());
  save_denoiser(*unet, folder / "unet");
  const auto loaded = load_denoiser(folder / "unet");
  expect_same_weights(loaded->module(), unet->module());
  CHECK(loaded->config() == unet->config());

  const auto vae = make_autoencoder(golden_config("vae_sd"), 3);
  save_autoencoder(*vae, folder / "vae");
  expect_same_weights(load_autoencoder(folder / "vae")->module(), vae->module());

  const auto text = make_text_encoder(golden_config("clip_projection"), 3);
  save_text_encoder(*text, folder / "text");
  expect_same_weights(load_text_encoder(folder / "text")->module(), text->module());
}

TEST_CASE("registry: weights are frozen and in the asked dtype") {
  const auto model = load_denoiser(test::golden("unet_sd1"), {.dtype = torch::kBFloat16, .device = torch::kCPU, .variant = ""});
  for (const auto& item : model->module().named_parameters()) {
    CAPTURE(item.key());
    CHECK_FALSE(item.value().requires_grad());
    CHECK((item.value().scalar_type() == torch::kBFloat16));
  }
}

TEST_CASE("registry: weights are in their order in memory when they are loaded, not after the first forward pass; files do not show it") {
  const LoadOptions half{.dtype = torch::kBFloat16, .device = torch::kCPU, .variant = ""};
  LoadOptions trained = half;
  trained.will_train = true;
  const auto fast = load_denoiser(test::golden("unet_sd1"), half), plain = load_denoiser(test::golden("unet_sd1"), trained);
  const Tensor weight = fast->module().named_parameters()["conv_in.weight"];
  const auto strides = weight.strides().vec();
  const void* data = weight.const_data_ptr();
  CHECK(weight.is_contiguous(torch::MemoryFormat::ChannelsLast));
  CHECK_FALSE(weight.is_contiguous());
  CHECK(plain->module().named_parameters()["conv_in.weight"].is_contiguous());
  const auto folder = test::fresh_folder("arranged");
  const auto file = [&](const std::string& name, Denoiser& model) {
    save_denoiser(model, folder / name);
    return test::read_text(folder / name / "diffusion_pytorch_model.safetensors");
  };
  const std::string before = file("before", *fast);
  CHECK(before == file("plain", *plain));
  {
    const at::NoGradGuard no_grad;
    const int64_t width = fast->text_width();
    fast->predict(torch::zeros({1, fast->in_channels(), 8, 8}), torch::tensor({500}),
                  {{"encoder_hidden_states", torch::zeros({1, 4, width}, torch::kBFloat16)}});
  }
  CHECK(weight.strides().vec() == strides);
  CHECK(weight.const_data_ptr() == data);
  CHECK(before == file("after", *fast));
}

TEST_CASE("registry: full-size configs have the parameters of the published models") {
  // Built without touching the memory of their weights. Counts: sum of numel in diffusers.
  const std::pair<const char*, int64_t> models[] = {{"sd15", 859520964}, {"sd21", 865910724}, {"sdxl-base-1.0", 2567463684}};
  for (const auto& [name, count] : models) {
    const auto path = test::golden(std::string("model_configs/") + name + ".json");
    CAPTURE(name);
    CHECK(parameter_count(make_unet_2d_condition(read_json(path), path.string())->module()) == count);
  }
}

TEST_CASE("registry: the prototype's U-Net and text encoder load and run" * doctest::test_suite("shared") *
          doctest::skip(test::shared_missing({"prototype_base"}))) {
  const auto folder = test::shared_data("prototype_base");
  at::NoGradGuard no_grad;
  const auto text = load_text_encoder(folder / "text_encoder");
  const TextStates states = text->encode(torch::full({1, 16}, 30));
  const auto unet = load_denoiser(folder / "unet");
  CHECK(unet->latent_channels() == 12);
  const Tensor out =
      unet->predict(torch::zeros({1, 12, 16, 16}), torch::tensor({500}), {{"encoder_hidden_states", states.last_hidden_state}});
  CHECK(out.isfinite().all().item<bool>());
}

TEST_CASE("registry: missing keys take the class defaults, null and unknown keys are tolerated") {
  Json config = golden_config("unet_sd1");
  config["a_key_of_next_year"] = {1, 2};
  config["upcast_attention"] = nullptr;
  config["class_embed_type"] = nullptr;
  config.erase("_class_name");
  CHECK(make_denoiser(config, 1)->sample_size() == 8);
  // diffusers' AutoencoderKL with no options at all: one block of 64, one layer.
  CHECK(make_autoencoder(Json{{"_class_name", "AutoencoderKL"}}, 1)->factor() == 1);
  CHECK(vae_factor(Json::object(), "vae") == 1);
  CHECK(vae_factor({{"block_out_channels", {128, 256, 512, 512}}}, "vae") == 8);
  CHECK_THROWS_WITH_AS(vae_factor({{"block_out_channels", Json::array()}}, "vae"), doctest::Contains("must not be empty"), FormatError);
}

TEST_CASE("registry: an option that is not implemented is named with its value") {
  expect_refused("class_embed_type", "image",
                 "'class_embed_type' = \"image\" is not supported, expected \"timestep\", \"identity\", \"projection\", "
                 "\"simple_projection\" or null");
  expect_refused("act_fn", "tanh", "'act_fn' = \"tanh\" is not supported, expected \"silu\", \"swish\", \"mish\", \"gelu\" or \"relu\"");
  expect_refused("encoder_hid_dim_type", "image_proj",
                 "'encoder_hid_dim_type' = \"image_proj\" is not supported, expected \"text_proj\" or null");
  expect_refused("dropout", 0.1, "'dropout' = 0.1 is not supported, expected 0.0 or 0");
  expect_refused("dual_cross_attention", true, "'dual_cross_attention' = true");
  expect_refused("addition_embed_type", "image", "'addition_embed_type' = \"image\"");
  expect_refused("resnet_time_scale_shift", "spatial", "'resnet_time_scale_shift' = \"spatial\"");
  expect_refused("down_block_types", {"AttnDownBlock2D", "DownBlock2D"}, "'AttnDownBlock2D' is not supported");
  expect_refused("mid_block_type", "UNetMidBlock2DSimpleCrossAttn", "UNetMidBlock2DSimpleCrossAttn");
  expect_refused("_class_name", "FluxTransformer2DModel", "'FluxTransformer2DModel'");
}

TEST_CASE("registry: an impossible value is refused by key, with what was expected and found") {
  expect_refused("layers_per_block", {1, 2, 3}, "'layers_per_block' must have one number for each of 2 blocks, found 3");
  expect_refused("block_out_channels", {8, 10}, "10 channels cannot be divided into 4 groups");
  expect_refused(
      "transformer_layers_per_block", Json::parse("[[1], 1]"),
      "'transformer_layers_per_block' lists the layers of a block, [1], so 'reverse_transformer_layers_per_block' must be given too");
  expect_refused("transformer_layers_per_block", Json::parse("[[], 1]"), "a list with one for each of its 1 layers, found []");
  expect_refused("only_cross_attention", {true}, "'only_cross_attention' must have one entry for each of 2 blocks, found 1");
  expect_refused("class_embeddings_concat", true, "'class_embeddings_concat' needs a class_embed_type");
  expect_refused("cross_attention_dim", {12, 8},
                 "'cross_attention_dim' = [12,8] is not supported, expected one width for all blocks with cross-attention");
  expect_refused("encoder_hid_dim_type", "text_proj", "'encoder_hid_dim_type' needs 'encoder_hid_dim'");
  expect_refused("attention_head_dim", 40, "8 channels cannot be divided into 40 heads");
  expect_refused("in_channels", "four", "'in_channels' must be a whole number, found \"four\"");
  expect_refused("addition_embed_type", "text_time", "addition_time_embed_dim");
  CHECK_THROWS_WITH_AS(make_denoiser(Json::array(), 1), doctest::Contains("expected a JSON object"), FormatError);
}

TEST_CASE("registry: an autoencoder whose latents are shifted encodes, but is not scaled without its shift") {
  Json config = golden_config("vae_sd");
  config["shift_factor"] = 0.1;
  const auto vae = make_autoencoder(config, 1);
  CHECK(vae->encode(torch::zeros({1, 3, 9, 6})).mean.sizes() == std::vector<int64_t>{1, 4, 2, 1});  // sides need not be multiples of 4
  CHECK_THROWS_WITH_AS(vae->encode(torch::zeros({1, 3, 9, 3})), doctest::Contains("at least 4"), UsageError);
  CHECK_THROWS_WITH_AS(vae->scaling_factor(), doctest::Contains("'shift_factor' = 0.1 is not supported"), UsageError);
}

TEST_CASE("registry: inputs of the wrong shape are refused with the expected one") {
  const auto unet = load_denoiser(test::golden("unet_xl"));
  const Tensor x = torch::zeros({2, 4, 8, 8}), t = torch::zeros({2}), text = torch::zeros({2, 5, 12});
  const Condition full{{"encoder_hidden_states", text}, {"text_embeds", torch::zeros({2, 10})}, {"time_ids", torch::zeros({2, 6})}};
  const Condition words{{"encoder_hidden_states", text}};
  const auto with = [&](const Condition& condition, const char* name, const Tensor& value) {
    Condition changed = condition;
    changed.set(name, value);
    return changed;
  };
  CHECK_THROWS_WITH_AS(unet->predict(torch::zeros({2, 3, 8, 8}), t, full),
                       doctest::Contains("expected a sample of [B, 4, H, W], got [2, 3, 8, 8]"), Error);
  CHECK_THROWS_WITH_AS(unet->predict(x, t, with(full, "encoder_hidden_states", torch::zeros({2, 5, 9}))), doctest::Contains("[B, L, 12]"),
                       Error);
  CHECK_THROWS_WITH_AS(unet->predict(x, t, words), doctest::Contains("text_embeds and time_ids"), Error);
  CHECK_THROWS_WITH_AS(unet->predict(x, t, with(full, "encoder_hidden_states", {})), doctest::Contains("[B, L, 12], got none"), Error);
  const Condition guided = with(full, "timestep_cond", torch::zeros({2, 3}));
  CHECK_THROWS_WITH_AS(unet->predict(x, t, guided), doctest::Contains("time_cond_proj_dim is not set"), Error);
  const auto classes = load_denoiser(test::golden("unet_classes"));
  CHECK_THROWS_WITH_AS(classes->predict(x, t, words), doctest::Contains("needs class_labels of [B], and they were not given"), UsageError);
  const Condition labelled = with(words, "class_labels", torch::tensor({0, 5}));
  CHECK_THROWS_WITH_AS(classes->predict(x, t, labelled), doctest::Contains("class_labels from 0 to 4, found 0 to 5"), UsageError);
  const auto clip = load_text_encoder(test::golden("clip_legacy"));
  CHECK_THROWS_WITH_AS(clip->encode(torch::zeros({1, 4}, torch::kLong), torch::ones({1, 3})),
                       doctest::Contains("expected an attention_mask like input_ids, [1, 4], got [1, 3]"), Error);
  CHECK_THROWS_WITH_AS(clip->encode(torch::full({1, 4}, 40)), doctest::Contains("expected ids from 0 to 39, found 40"), Error);
  CHECK_THROWS_WITH_AS(clip->encode(torch::zeros({1, 10}, torch::kLong)), doctest::Contains("at most 9"), Error);
}

}  // namespace palate
