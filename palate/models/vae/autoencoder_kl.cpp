#include "palate/models/vae/autoencoder_kl.h"

#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/models/config_reader.h"
#include "palate/nn/attention.h"
#include "palate/nn/group_norm.h"
#include "palate/nn/memory_format.h"
#include "palate/nn/resnet.h"

namespace palate {
namespace {

constexpr double eps = 1e-6;

struct VaeOptions {
  int64_t in_channels, out_channels, latent_channels, layers, groups;
  std::vector<int64_t> widths;
  std::vector<bool> down_attention, up_attention;  // up: from the coarsest, as the decoder runs
  bool quant_conv, post_quant_conv, mid_attention;
  double scaling_factor;
  Activation activation;  // of the residual blocks; before the last convolutions it is always silu
  std::string shifted;    // the key that shifts latents besides scaling them, if there is one
};

// Which blocks have attention. `key` lists `plain` and `attention` block types.
std::vector<bool> block_attention(const ConfigReader& r, const char* key, const std::string& plain, const std::string& attention,
                                  size_t count, const std::string& origin) {
  const auto types = r.texts(key, {plain});
  check<FormatError>(types.size() == count, origin, ": ", key, " must have ", count, " entries, found ", types.size());
  std::vector<bool> flags;
  for (const auto& type : types) {
    check<UsageError>(type == plain || type == attention, origin, ": '", key, "' = '", type, "' is not supported, expected ", plain, " or ",
                      attention);
    flags.push_back(type == attention);
  }
  return flags;
}

std::string shifting_key(const Json& config) {
  for (const char* key : {"shift_factor", "latents_mean", "latents_std"}) {
    const auto found = config.find(key);
    if (found != config.end() && !found->is_null() && *found != Json(0) && *found != Json(0.0)) return key;
  }
  return {};
}

std::vector<int64_t> block_widths(const ConfigReader& r, const std::string& origin) {
  auto widths = r.wholes("block_out_channels", {64});
  check<FormatError>(!widths.empty(), origin, ": 'block_out_channels' must not be empty");
  return widths;
}

int64_t factor_of(const std::vector<int64_t>& widths) { return int64_t{1} << (widths.size() - 1); }

VaeOptions vae_options(const Json& config, const std::string& origin) {
  const ConfigReader r(config, origin);
  const auto widths = block_widths(r, origin);
  return {r.whole("in_channels", 3),
          r.whole("out_channels", 3),
          r.whole("latent_channels", 4),
          r.whole("layers_per_block", 1),
          r.whole("norm_num_groups", 32),
          widths,
          block_attention(r, "down_block_types", "DownEncoderBlock2D", "AttnDownEncoderBlock2D", widths.size(), origin),
          block_attention(r, "up_block_types", "UpDecoderBlock2D", "AttnUpDecoderBlock2D", widths.size(), origin),
          r.flag("use_quant_conv", true),
          r.flag("use_post_quant_conv", true),
          r.flag("mid_block_add_attention", true),
          r.number("scaling_factor", 0.18215),
          r.activation("act_fn", "silu", diffusers_activations()),
          shifting_key(config)};
}

ResnetOptions resnet_options(const VaeOptions& o, int64_t in, int64_t out) {
  return {.in = in,
          .out = out,
          .time = 0,
          .groups = o.groups,
          .eps = eps,
          .output_scale = 1,
          .time_shift = TimeShift::add,
          .activation = o.activation};
}

// One head over all channels, with a group norm before it and a residual around it.
class VaeAttention : public torch::nn::Module {
 public:
  VaeAttention(int64_t channels, int64_t groups) {
    group_norm_ = register_module("group_norm", std::make_shared<GroupNorm>(groups, channels, eps));
    to_q_ = register_module("to_q", std::make_shared<Linear>(channels, channels));
    to_k_ = register_module("to_k", std::make_shared<Linear>(channels, channels));
    to_v_ = register_module("to_v", std::make_shared<Linear>(channels, channels));
    to_out_ = register_module("to_out", std::make_shared<List<Linear>>());
    to_out_->add(std::make_shared<Linear>(channels, channels));
  }
  Tensor forward(const Tensor& input) {
    const Tensor x = group_norm_->forward(input).flatten(2).transpose(1, 2).contiguous();  // [B, HW, C]
    const Tensor y = (*to_out_)[0].forward(attention(to_q_->forward(x), to_k_->forward(x), to_v_->forward(x), 1));
    return input + y.transpose(1, 2).reshape(input.sizes());
  }

 private:
  std::shared_ptr<GroupNorm> group_norm_;
  std::shared_ptr<Linear> to_q_, to_k_, to_v_;
  std::shared_ptr<List<Linear>> to_out_;
};

class VaeMidBlock : public torch::nn::Module {
 public:
  VaeMidBlock(const VaeOptions& o, int64_t channels) {
    if (o.mid_attention) {
      attentions_ = register_module("attentions", std::make_shared<List<VaeAttention>>());
      attentions_->add(std::make_shared<VaeAttention>(channels, o.groups));
    }
    resnets_ = register_module("resnets", std::make_shared<List<ResnetBlock2D>>());
    for (int i = 0; i < 2; ++i) resnets_->add(std::make_shared<ResnetBlock2D>(resnet_options(o, channels, channels)));
  }
  Tensor forward(Tensor x) {
    x = (*resnets_)[0].forward(x, {});
    if (attentions_) x = (*attentions_)[0].forward(x);
    return (*resnets_)[1].forward(x, {});
  }

 private:
  std::shared_ptr<List<VaeAttention>> attentions_;
  std::shared_ptr<List<ResnetBlock2D>> resnets_;
};

// DownEncoderBlock2D with a Downsample2D, or UpDecoderBlock2D with an Upsample2D; with attention their Attn... variants.
template <class Resampler>
class VaeBlock : public torch::nn::Module {
 public:
  VaeBlock(const VaeOptions& o, int64_t in, int64_t out, int64_t layers, bool attention, const char* list,
           std::shared_ptr<Resampler> resampler) {
    if (attention) attentions_ = register_module("attentions", std::make_shared<List<VaeAttention>>());
    for (int64_t i = 0; attention && i < layers; ++i) attentions_->add(std::make_shared<VaeAttention>(out, o.groups));
    resnets_ = register_module("resnets", std::make_shared<List<ResnetBlock2D>>());
    for (int64_t i = 0; i < layers; ++i) resnets_->add(std::make_shared<ResnetBlock2D>(resnet_options(o, i ? out : in, out)));
    if (!resampler) return;
    resamplers_ = register_module(list, std::make_shared<List<Resampler>>());
    resamplers_->add(std::move(resampler));
  }
  Tensor forward(Tensor x) {
    for (size_t i = 0; i < resnets_->size(); ++i) {
      x = (*resnets_)[i].forward(x, {});
      if (attentions_) x = (*attentions_)[i].forward(x);
    }
    return resamplers_ ? (*resamplers_)[0].forward(x) : x;
  }

 private:
  std::shared_ptr<List<VaeAttention>> attentions_;
  std::shared_ptr<List<ResnetBlock2D>> resnets_;
  std::shared_ptr<List<Resampler>> resamplers_;
};

class Encoder : public torch::nn::Module {
 public:
  explicit Encoder(const VaeOptions& o) {
    conv_in_ = register_module("conv_in", std::make_shared<Conv2d>(o.in_channels, o.widths[0]));
    down_blocks_ = register_module("down_blocks", std::make_shared<List<VaeBlock<Downsample2D>>>());
    for (size_t i = 0; i < o.widths.size(); ++i) {
      auto down = i + 1 < o.widths.size() ? std::make_shared<Downsample2D>(o.widths[i], 0) : nullptr;
      down_blocks_->add(std::make_shared<VaeBlock<Downsample2D>>(o, o.widths[i ? i - 1 : 0], o.widths[i], o.layers, o.down_attention[i],
                                                                 "downsamplers", down));
    }
    mid_block_ = register_module("mid_block", std::make_shared<VaeMidBlock>(o, o.widths.back()));
    conv_norm_out_ = register_module("conv_norm_out", std::make_shared<GroupNorm>(o.groups, o.widths.back(), eps));
    conv_out_ = register_module("conv_out", std::make_shared<Conv2d>(o.widths.back(), 2 * o.latent_channels));
  }
  Tensor forward(const Tensor& pixels) {
    Tensor x = conv_in_->forward(pixels);
    for (const auto& block : *down_blocks_) x = block->forward(x);
    return conv_out_->forward(torch::silu(conv_norm_out_->forward(mid_block_->forward(x))));
  }

 private:
  std::shared_ptr<Conv2d> conv_in_, conv_out_;
  std::shared_ptr<List<VaeBlock<Downsample2D>>> down_blocks_;
  std::shared_ptr<VaeMidBlock> mid_block_;
  std::shared_ptr<GroupNorm> conv_norm_out_;
};

class Decoder : public torch::nn::Module {
 public:
  explicit Decoder(const VaeOptions& o) {
    const size_t n = o.widths.size();
    conv_in_ = register_module("conv_in", std::make_shared<Conv2d>(o.latent_channels, o.widths.back()));
    mid_block_ = register_module("mid_block", std::make_shared<VaeMidBlock>(o, o.widths.back()));
    up_blocks_ = register_module("up_blocks", std::make_shared<List<VaeBlock<Upsample2D>>>());
    for (size_t i = 0; i < n; ++i) {
      const size_t level = n - 1 - i;
      auto up = level > 0 ? std::make_shared<Upsample2D>(o.widths[level]) : nullptr;
      up_blocks_->add(std::make_shared<VaeBlock<Upsample2D>>(o, o.widths[i ? level + 1 : level], o.widths[level], o.layers + 1,
                                                             o.up_attention[i], "upsamplers", up));
    }
    conv_norm_out_ = register_module("conv_norm_out", std::make_shared<GroupNorm>(o.groups, o.widths[0], eps));
    conv_out_ = register_module("conv_out", std::make_shared<Conv2d>(o.widths[0], o.out_channels));
  }
  Tensor forward(const Tensor& latents) {
    Tensor x = mid_block_->forward(conv_in_->forward(latents));
    for (const auto& block : *up_blocks_) x = block->forward(x);
    return conv_out_->forward(torch::silu(conv_norm_out_->forward(x)));
  }

 private:
  std::shared_ptr<Conv2d> conv_in_, conv_out_;
  std::shared_ptr<VaeMidBlock> mid_block_;
  std::shared_ptr<List<VaeBlock<Upsample2D>>> up_blocks_;
  std::shared_ptr<GroupNorm> conv_norm_out_;
};

struct AutoencoderKLModule : torch::nn::Module {
  explicit AutoencoderKLModule(const VaeOptions& o) {
    const ConvGeometry point{.kernel = 1, .stride = 1, .padding = 0};
    encoder = register_module("encoder", std::make_shared<Encoder>(o));
    decoder = register_module("decoder", std::make_shared<Decoder>(o));
    if (o.quant_conv)
      quant_conv = register_module("quant_conv", std::make_shared<Conv2d>(2 * o.latent_channels, 2 * o.latent_channels, point));
    if (o.post_quant_conv)
      post_quant_conv = register_module("post_quant_conv", std::make_shared<Conv2d>(o.latent_channels, o.latent_channels, point));
  }
  std::shared_ptr<Encoder> encoder;
  std::shared_ptr<Decoder> decoder;
  std::shared_ptr<Conv2d> quant_conv, post_quant_conv;
};

class AutoencoderKL : public Autoencoder {
 public:
  AutoencoderKL(const Json& config, const std::string& origin)
      : config_(config), options_(vae_options(config, origin)), model_(std::make_shared<AutoencoderKLModule>(options_)) {}

  Posterior encode(const Tensor& pixels) override {
    check<UsageError>(pixels.dim() == 4 && pixels.size(1) == options_.in_channels, "[vae] expected pixels of [B, ", options_.in_channels,
                      ", H, W], got ", show_shape(pixels.sizes()));
    check<UsageError>(pixels.size(2) >= factor() && pixels.size(3) >= factor(), "[vae] height and width must be at least ", factor(),
                      ", got ", show_shape(pixels.sizes()));
    Tensor moments = model_->encoder->forward(arranged(pixels));
    if (model_->quant_conv) moments = model_->quant_conv->forward(moments);
    moments = moments.contiguous();
    const auto halves = moments.chunk(2, 1);
    return {halves[0], halves[1].clamp(-30.0, 20.0)};
  }
  Tensor decode(const Tensor& latents) override {
    check<UsageError>(latents.dim() == 4 && latents.size(1) == options_.latent_channels, "[vae] expected latents of [B, ",
                      options_.latent_channels, ", h, w], got ", show_shape(latents.sizes()));
    const Tensor x = arranged(latents);
    return model_->decoder->forward(model_->post_quant_conv ? model_->post_quant_conv->forward(x) : x).contiguous();
  }
  double scaling_factor() const override {
    check<UsageError>(options_.shifted.empty(), "[vae] '", options_.shifted, "' = ", config_.value(options_.shifted, Json()).dump(),
                      " is not supported, expected none: latents are scaled by scaling_factor only");
    return options_.scaling_factor;
  }
  int64_t factor() const override { return factor_of(options_.widths); }
  int64_t latent_channels() const override { return options_.latent_channels; }
  // A frozen model on the CPU works channels-last where our GroupNorm does, which takes less memory and time (docs/performance.md).
  void arrange_weights() override {
    if (!model_->parameters().front().is_cpu() || !has_own_group_norm(options_.activation)) return;
    to_channels_last(*model_);
    channels_last_ = true;
  }
  torch::nn::Module& module() override { return *model_; }
  const Json& config() const override { return config_; }

 private:
  Tensor arranged(const Tensor& x) const { return channels_last_ && x.is_cpu() ? x.contiguous(torch::MemoryFormat::ChannelsLast) : x; }

  bool channels_last_ = false;
  Json config_;
  VaeOptions options_;
  std::shared_ptr<AutoencoderKLModule> model_;
};

}  // namespace

std::unique_ptr<Autoencoder> make_autoencoder_kl(const Json& config, const std::string& origin) {
  return std::make_unique<AutoencoderKL>(config, origin);
}

int64_t vae_factor(const Json& config, const std::string& origin) { return factor_of(block_widths(ConfigReader(config, origin), origin)); }

std::string current_vae_name(const std::string& name) {
  static const std::pair<const char*, const char*> old[] = {
      {".query.", ".to_q."}, {".key.", ".to_k."}, {".value.", ".to_v."}, {".proj_attn.", ".to_out.0."}};
  for (const auto& [before, after] : old) {
    const size_t at = name.find(before);
    if (at != std::string::npos && name.find("attentions") < at)
      return name.substr(0, at) + after + name.substr(at + std::string(before).size());
  }
  return name;
}

}  // namespace palate
