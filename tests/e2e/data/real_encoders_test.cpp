// The cache with a model folder's own encoders instead of the unit tests' made-up ones.
#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/core/device.h"
#include "palate/data/cache/pair_cache.h"
#include "palate/data/framing/transform.h"
#include "palate/io/image.h"
#include "palate/io/json.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

// A model folder with the smallest possible parts: 16x16 pictures, 4x8x8 latents, text states of width 16.
fs::path tiny_model() {
  const fs::path folder = fresh_folder("model");
  const Json unet = {{"_class_name", "UNet2DConditionModel"},
                     {"sample_size", 8},
                     {"in_channels", 4},
                     {"out_channels", 4},
                     {"block_out_channels", {8, 16}},
                     {"layers_per_block", 1},
                     {"down_block_types", {"CrossAttnDownBlock2D", "DownBlock2D"}},
                     {"up_block_types", {"UpBlock2D", "CrossAttnUpBlock2D"}},
                     {"cross_attention_dim", 16},
                     {"attention_head_dim", 2},
                     {"norm_num_groups", 4}};
  const Json vae = {{"_class_name", "AutoencoderKL"},
                    {"block_out_channels", {8, 16}},
                    {"down_block_types", {"DownEncoderBlock2D", "DownEncoderBlock2D"}},
                    {"up_block_types", {"UpDecoderBlock2D", "UpDecoderBlock2D"}},
                    {"latent_channels", 4},
                    {"layers_per_block", 1},
                    {"norm_num_groups", 4},
                    {"sample_size", 16},
                    {"scaling_factor", 0.7}};
  const int64_t words = static_cast<int64_t>(read_json(golden("tokenizer") / "vocab.json").size());
  const Json text = {{"architectures", {"CLIPTextModel"}},
                     {"model_type", "clip_text_model"},
                     {"hidden_size", 16},
                     {"intermediate_size", 32},
                     {"num_hidden_layers", 1},
                     {"num_attention_heads", 2},
                     {"max_position_embeddings", 77},
                     {"vocab_size", words},
                     {"hidden_act", "quick_gelu"},
                     {"layer_norm_eps", 1e-5},
                     {"eos_token_id", words - 1}};
  for (const char* part : {"unet", "vae", "text_encoder", "scheduler"}) fs::create_directories(folder / part);
  save_denoiser(*make_denoiser(unet, 1), folder / "unet");
  save_autoencoder(*make_autoencoder(vae, 2), folder / "vae");
  save_text_encoder(*make_text_encoder(text, 3), folder / "text_encoder");
  fs::copy(golden("tokenizer"), folder / "tokenizer");
  write_json(folder / "scheduler/scheduler_config.json",
             {{"_class_name", "DDIMScheduler"}, {"beta_schedule", "scaled_linear"}, {"num_train_timesteps", 1000}});
  write_json(folder / "model_index.json", {{"_class_name", "StableDiffusionPipeline"},
                                           {"scheduler", {"diffusers", "DDIMScheduler"}},
                                           {"text_encoder", {"transformers", "CLIPTextModel"}},
                                           {"tokenizer", {"transformers", "CLIPTokenizer"}},
                                           {"unet", {"diffusers", "UNet2DConditionModel"}},
                                           {"vae", {"diffusers", "AutoencoderKL"}}});
  return folder;
}

}  // namespace

TEST_CASE("cache: latents and text states are those that the model's own encoders give") {
  Pipeline pipeline(tiny_model());
  DataConfig config;
  config.pairs = {golden("data_pickapic.parquet").string()};
  config.skip_bad = true;
  const fs::path caches = fresh_folder("caches");
  const PairCache cache = PairCache::open(pipeline, config, caches, 0);
  const auto source = open_pairs(config);
  PairRecord record;
  source->read(4, record);  // the cache's fourth pair: row 3 is a tie
  REQUIRE(cache.visits({3}, {0})[0].id == record.id);
  const Batch batch = cache.batch({3}, {0}, {.augment = false});
  const auto expected = [&](const std::string& bytes) {
    return pipeline.to_latents(pipeline.encode_images(crop_square(decode_image(bytes, ""), 16, {}).unsqueeze(0)), {});
  };
  // Batches of another size may round differently, so equal but for that.
  expect_close("winner", batch.view(0), expected(record.win), 1e-5);
  expect_close("loser", batch.view(1), expected(record.lose), 1e-5);
  expect_close("text", batch.condition["encoder_hidden_states"], pipeline.encode_prompts({record.prompt})["encoder_hidden_states"], 1e-5);
  CHECK(batch.view(0).sizes().vec() == std::vector<int64_t>{1, 4, 8, 8});
  expect_equal("dropped caption", cache.batch({3}, {0}, {.caption_dropout = 1}).condition["encoder_hidden_states"],
               cache.batch({0}, {5}, {.caption_dropout = 1}).condition["encoder_hidden_states"]);

  // Weights held in bf16 give text states in bf16, in a cache of their own.
  LoadOptions options;
  options.dtype = torch::kBFloat16;
  Pipeline half(pipeline.folder(), options);
  const PairCache other = PairCache::open(half, config, caches, 0);
  CHECK(other.key() != cache.key());
  const Batch small = other.batch({3}, {0}, {.augment = false});
  CHECK(dtype_name(small.condition["encoder_hidden_states"].scalar_type()) == "bf16");
  CHECK(dtype_name(small.view(0).scalar_type()) == "float32");
  expect_close("text in bf16", small.condition["encoder_hidden_states"].to(torch::kFloat), batch.condition["encoder_hidden_states"], 0.02);
}
