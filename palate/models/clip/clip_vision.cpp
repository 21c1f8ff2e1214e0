#include "palate/models/clip/clip_vision.h"

#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/models/clip/clip_encoder.h"

namespace palate {
namespace {

struct VisionOptions {
  ClipTower tower;
  int64_t image_size, patch_size, channels, projection;
  int64_t positions() const { return (image_size / patch_size) * (image_size / patch_size) + 1; }
};

VisionOptions vision_options(const Json& config, const std::string& origin) {
  const ConfigReader r(config, origin);
  const VisionOptions o{clip_tower(r, {.width = 768, .inner = 3072, .layers = 12, .heads = 12}, origin), r.whole("image_size", 224),
                        r.whole("patch_size", 32), r.whole("num_channels", 3), r.whole("projection_dim", 512)};
  check<FormatError>(o.patch_size > 0 && o.image_size >= o.patch_size, origin, ": image_size ", o.image_size,
                     " holds no patch of patch_size ", o.patch_size);
  return o;
}

// A convolution without a bias whose steps are as long as its kernel is wide.
class PatchEmbedding : public torch::nn::Module {
 public:
  PatchEmbedding(int64_t channels, int64_t width, int64_t patch) : patch_(patch) {
    weight_ = register_parameter("weight", torch::empty({width, channels, patch, patch}), false);
  }
  Tensor forward(const Tensor& pixels) { return torch::conv2d(pixels, weight_, {}, patch_).flatten(2).transpose(1, 2); }

 private:
  int64_t patch_;
  Tensor weight_;
};

struct ClipVisionModule : torch::nn::Module {
  ClipVisionModule(const VisionOptions& o, bool with_projection) {
    auto vision = register_module("vision_model", std::make_shared<torch::nn::Module>());
    auto embeddings = vision->register_module("embeddings", std::make_shared<torch::nn::Module>());
    class_embedding = embeddings->register_parameter("class_embedding", torch::empty({o.tower.width}), false);
    patch_embedding =
        embeddings->register_module("patch_embedding", std::make_shared<PatchEmbedding>(o.channels, o.tower.width, o.patch_size));
    position_embedding = embeddings->register_module("position_embedding", std::make_shared<Embedding>(o.positions(), o.tower.width));
    pre_norm = vision->register_module("pre_layrnorm", std::make_shared<LayerNorm>(o.tower.width, o.tower.eps));  // the name in every file
    encoder = vision->register_module("encoder", std::make_shared<ClipEncoder>(o.tower));
    post_norm = vision->register_module("post_layernorm", std::make_shared<LayerNorm>(o.tower.width, o.tower.eps));
    if (with_projection)
      projection = register_module("visual_projection", std::make_shared<Linear>(o.tower.width, o.projection, Bias::without));
  }
  Tensor class_embedding;
  std::shared_ptr<PatchEmbedding> patch_embedding;
  std::shared_ptr<Embedding> position_embedding;
  std::shared_ptr<LayerNorm> pre_norm, post_norm;
  std::shared_ptr<ClipEncoder> encoder;
  std::shared_ptr<Linear> projection;
};

class ClipVision : public VisionEncoder {
 public:
  ClipVision(const Json& config, bool with_projection, const std::string& origin)
      : config_(config), options_(vision_options(config, origin)), model_(std::make_shared<ClipVisionModule>(options_, with_projection)) {}

  VisionStates encode(const Tensor& pixels) override {
    const int64_t side = options_.image_size;
    check<UsageError>(pixels.dim() == 4 && pixels.size(1) == options_.channels && pixels.size(2) == side && pixels.size(3) == side,
                      "[clip vision] expected pixel_values of [B, ", options_.channels, ", ", side, ", ", side, "], got ",
                      show_shape(pixels.sizes()));
    const Tensor first = model_->class_embedding.expand({pixels.size(0), 1, -1});
    const Tensor x = torch::cat({first, model_->patch_embedding->forward(pixels)}, 1) + model_->position_embedding->weight;
    VisionStates states;
    states.hidden_states = model_->encoder->forward(model_->pre_norm->forward(x), {});
    states.last_hidden_state = states.hidden_states.back();
    states.pooler_output = model_->post_norm->forward(states.last_hidden_state.select(1, 0));
    if (model_->projection) states.image_embeds = model_->projection->forward(states.pooler_output);
    return states;
  }
  int64_t image_size() const override { return options_.image_size; }
  torch::nn::Module& module() override { return *model_; }
  const Json& config() const override { return config_; }

 private:
  Json config_;
  VisionOptions options_;
  std::shared_ptr<ClipVisionModule> model_;
};

}  // namespace

std::unique_ptr<VisionEncoder> make_clip_vision(const Json& config, const std::string& class_name, const std::string& origin) {
  return std::make_unique<ClipVision>(config, class_name == "CLIPVisionModelWithProjection", origin);
}

std::string current_clip_vision_name(const std::string& name) {
  return name.starts_with("vision_model.") || name.starts_with("visual_projection.") ? name : "vision_model." + name;
}

}  // namespace palate
