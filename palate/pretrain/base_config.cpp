#include "palate/pretrain/base_config.h"

#include <nlohmann/json.hpp>

#include "palate/pretrain/tokenizer_files.h"

namespace palate::world {

void FitConfig::visit(Fields& f) {
  f("steps", steps, "updates", {.min = 1});
  f("minutes", minutes, "above 0: end by the clock instead, the learning rate following it; such a run is not repeatable", {.min = 0});
  f("batch", batch, "pictures a step", {.min = 1});
  f("lr", lr, "peak learning rate", {.min = 0});
  f("final_lr", final_lr, "share of lr that the cosine ends at", {.min = 0, .max = 1});
  f("warmup_steps", warmup_steps, "steps over which the rate rises", {.min = 0});
  f("beta1", beta1, "decay of the gradient's running mean", {.min = 0, .max = 0.999999});
  f("beta2", beta2, "decay of the squared gradient's running mean", {.min = 0, .max = 0.9999999});
  f("weight_decay", weight_decay, "decoupled weight decay", {.min = 0});
  f("clip_norm", clip_norm, "largest norm of the whole gradient; 0: no clipping", {.min = 0});
  f("ema", ema, "decay of the running mean of the weights, which is what is kept", {.min = 0, .max = 1});
  f("log_every", log_every, "steps that one line of metrics.jsonl is the mean of", {.min = 1});
  f("checkpoint_minutes", checkpoint_minutes, "minutes between checkpoints", {.min = 0.01});
}

void AutoencoderConfig::visit(Fields& f) {
  f("folder", folder, "a ready autoencoder's folder; empty: train one");
  f("block_out_channels", block_out_channels, "channels of each level; every level but the last halves the side", {.min = 1});
  f("layers_per_block", layers_per_block, "residual blocks a level", {.min = 1});
  f("latent_channels", latent_channels, "channels of the latents", {.min = 1});
  f("norm_num_groups", norm_num_groups, "groups of the group norms", {.min = 1});
  f.table("fit", fit, "its training");
  f.require(!block_out_channels.empty() && block_out_channels.size() <= 4, "autoencoder.block_out_channels: expected one to four levels");
}

Json AutoencoderConfig::model() const {
  const size_t levels = block_out_channels.size();
  return {{"_class_name", "AutoencoderKL"},
          {"act_fn", "silu"},
          {"block_out_channels", block_out_channels},
          {"down_block_types", std::vector<std::string>(levels, "DownEncoderBlock2D")},
          {"force_upcast", false},
          {"in_channels", 3},
          {"latent_channels", latent_channels},
          {"layers_per_block", layers_per_block},
          {"mid_block_add_attention", false},
          {"norm_num_groups", norm_num_groups},
          {"out_channels", 3},
          {"sample_size", side},
          {"scaling_factor", 1.0},
          {"up_block_types", std::vector<std::string>(levels, "UpDecoderBlock2D")},
          {"use_post_quant_conv", true},
          {"use_quant_conv", true}};
}

int64_t AutoencoderConfig::factor() const { return int64_t{1} << (block_out_channels.size() - 1); }

void UnetConfig::visit(Fields& f) {
  f("block_out_channels", block_out_channels, "channels of each level; every level but the last halves the side", {.min = 1});
  f("attention", attention, "for each level: 1 with cross-attention, 0 without", {.min = 0, .max = 1});
  f("layers_per_block", layers_per_block, "residual blocks a level", {.min = 1});
  f("heads", heads, "attention heads", {.min = 1});
  f("norm_num_groups", norm_num_groups, "groups of the group norms", {.min = 1});
  f("pooled_text", pooled_text, "the pooled text states join the time embedding (addition_embed_type \"text\")");
  f("time_shift", time_shift, "how the time embedding enters a residual block", {.choices = {"default", "scale_shift"}});
  f.require(attention.size() == block_out_channels.size(), "unet.attention: expected one number for each of unet.block_out_channels");
}

Json UnetConfig::model(const AutoencoderConfig& autoencoder, int64_t latent_channels, int64_t text_width) const {
  std::vector<std::string> down, up;
  for (const int64_t with : attention) {
    down.emplace_back(with != 0 ? "CrossAttnDownBlock2D" : "DownBlock2D");
    up.insert(up.begin(), with != 0 ? "CrossAttnUpBlock2D" : "UpBlock2D");
  }
  Json config = {{"_class_name", "UNet2DConditionModel"},
                 {"act_fn", "silu"},
                 {"attention_head_dim", heads},
                 {"block_out_channels", block_out_channels},
                 {"cross_attention_dim", text_width},
                 {"down_block_types", down},
                 {"flip_sin_to_cos", true},
                 {"freq_shift", 0},
                 {"in_channels", latent_channels},
                 {"layers_per_block", layers_per_block},
                 {"mid_block_type", "UNetMidBlock2DCrossAttn"},
                 {"norm_eps", 1e-5},
                 {"norm_num_groups", norm_num_groups},
                 {"out_channels", latent_channels},
                 {"resnet_time_scale_shift", time_shift},
                 {"sample_size", side / autoencoder.factor()},
                 {"up_block_types", up}};
  if (pooled_text) config.update({{"addition_embed_type", "text"}, {"addition_embed_type_num_heads", heads}});
  return config;
}

void TextConfig::visit(Fields& f) {
  f("width", width, "width of the text states", {.min = 1});
  f("layers", layers, "transformer layers", {.min = 1});
  f("heads", heads, "attention heads", {.min = 1});
}

Json TextConfig::model() const {
  const auto vocabulary = static_cast<int64_t>(tokenizer_vocabulary().size());
  return {{"architectures", {"CLIPTextModel"}},
          {"attention_dropout", 0.0},
          {"bos_token_id", vocabulary - 2},
          {"eos_token_id", vocabulary - 1},
          {"hidden_act", "quick_gelu"},
          {"hidden_size", width},
          {"initializer_factor", 1.0},
          {"initializer_range", 0.02},
          {"intermediate_size", 2 * width},
          {"layer_norm_eps", 1e-5},
          {"max_position_embeddings", token_count},
          {"model_type", "clip_text_model"},
          {"num_attention_heads", heads},
          {"num_hidden_layers", layers},
          {"pad_token_id", vocabulary - 1},
          {"projection_dim", width},
          {"torch_dtype", "float32"},
          {"vocab_size", vocabulary}};
}

void EvaluationConfig::visit(Fields& f) {
  f("single", single, "development prompts with one object", {.min = 1});
  f("two", two, "development prompts with two objects", {.min = 1});
  f("steps", steps, "sampling steps", {.min = 1});
  f("guidance_scale", guidance_scale, "classifier-free guidance");
  f("pictures", pictures, "pictures of each prompt, from different noise", {.min = 1});
  f("reconstructions", reconstructions, "clean pictures that the autoencoder is measured on", {.min = 1});
  f("every_minutes", every_minutes, "minutes between evaluations, which happen at checkpoints only", {.min = 0});
}

void PretrainConfig::visit(Fields& f) {
  f("output", output, "run folder; the model ends in its folder base/");
  f("init", init, "model folder whose denoiser and text encoder the training starts from; empty: fresh weights");
  f("seed", seed, "names every draw of the run", {.min = 0});
  f("threads", threads, "processor threads; 0: what the machine has", {.min = 0, .max = 4096});
  f("caption_dropout", caption_dropout, "share of examples with the empty caption", {.min = 0, .max = 1});
  f.table("odds", odds, "how often training data shows what");
  f.table("autoencoder", autoencoder, "the first stage: pictures to latents and back");
  f.table("unet", unet, "the denoiser");
  f.table("text", text, "the text encoder, trained with the denoiser");
  f.table("fit", fit, "the second stage: denoiser and text encoder");
  f.table("evaluation", evaluation, "pictures for the oracle while it trains");
  f.require(!output.empty(), "output: name the run folder, for example output = \"runs/base\"");
}

Json scheduler_config() {
  return {{"_class_name", "DDIMScheduler"},
          {"beta_end", 0.012},
          {"beta_schedule", "squaredcos_cap_v2"},
          {"beta_start", 0.00085},
          {"clip_sample", false},
          {"num_train_timesteps", 1000},
          {"prediction_type", "v_prediction"},
          {"set_alpha_to_one", false},
          {"steps_offset", 1},
          {"timestep_spacing", "leading"}};
}

}  // namespace palate::world
