// CLIPModel as transformers names and builds it: two towers, a projection each, and the scale of their product.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "palate/models/registry.h"
#include "palate/models/vision_encoder.h"

namespace palate {

class ClipModel {
 public:
  // config.json of a CLIPModel. UsageError without text_config or vision_config.
  ClipModel(const Json& config, const std::string& origin);

  TextEncoder& text() { return *text_; }
  VisionEncoder& vision() { return *vision_; }
  Tensor image_embeds(const Tensor& pixel_values) { return vision_->encode(pixel_values).image_embeds; }  // [B, P], of any length
  Tensor text_embeds(const Tensor& input_ids) { return text_->encode(input_ids).text_embeds; }            // [B, P], of any length
  // exp(logit_scale) cos(image, text), as PickScore (2305.01569) scores. images [n B, P], texts [B, P] -> [n B]: row i against text i mod
  // B.
  Tensor scores(const Tensor& images, const Tensor& texts) const;
  Tensor scale() const { return logit_scale_.exp(); }

  torch::nn::Module& module() { return *module_; }
  const Json& config() const { return config_; }

 private:
  Json config_;
  std::unique_ptr<TextEncoder> text_;
  std::unique_ptr<VisionEncoder> vision_;
  std::shared_ptr<torch::nn::Module> module_;  // both towers' modules under one root
  Tensor logit_scale_;                         // [], the logarithm
};

// In registry.cpp, beside the other classes' (see registry.h).
std::unique_ptr<ClipModel> load_clip_model(const std::filesystem::path& folder, const LoadOptions& options = {});
std::unique_ptr<VisionEncoder> load_vision_encoder(const std::filesystem::path& folder, const LoadOptions& options = {});
std::unique_ptr<ClipModel> make_clip_model(const Json& config, uint64_t seed);
void save_clip_model(ClipModel& model, const std::filesystem::path& folder);

// Fresh weights of a CLIPModel by transformers' rule (CLIPPreTrainedModel._init_weights), each keyed by `seed` and its name.
void draw_clip_weights(torch::nn::Module& model, double logit_scale, uint64_t seed);

}  // namespace palate
