#include "palate/models/clip/clip_model.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/models/clip/clip_text.h"
#include "palate/models/clip/clip_vision.h"
#include "palate/models/config_reader.h"

namespace palate {
namespace {

// A tower's own config, with the projection that the two share. Old files give it twice, and then transformers takes text_config_dict.
Json tower_config(const Json& config, const std::string& key, const std::string& origin) {
  check<UsageError>(config.contains(key) && config[key].is_object(), origin, ": expected '", key,
                    "' of a CLIPModel, found none: name the folder of a whole CLIPModel");
  Json tower = config[key];
  if (const auto old = config.find(key + "_dict"); old != config.end() && old->is_object()) tower.update(*old);
  tower["projection_dim"] = ConfigReader(config, origin).whole("projection_dim", 512);
  return tower;
}

// The deviation of one weight; 0 for a bias. `layers` of its tower.
double clip_deviation(const std::string& name, const Tensor& weight, double layers) {
  const auto is = [&](const char* ending) { return name.ends_with(ending); };
  const auto width = static_cast<double>(weight.dim() > 1 ? weight.size(1) : weight.size(0));
  if (is(".bias")) return 0;
  if (name.find("_embedding.") != std::string::npos) return 0.02;
  if (is("q_proj.weight") || is("k_proj.weight") || is("v_proj.weight")) return 1 / std::sqrt(width * 2 * layers);
  if (is("fc1.weight")) return 1 / std::sqrt(2 * width);
  if (is("fc2.weight")) return 1 / std::sqrt(static_cast<double>(weight.size(0)) * 2 * layers);
  return 1 / std::sqrt(width);  // class_embedding, out_proj and the projections
}

}  // namespace

ClipModel::ClipModel(const Json& config, const std::string& origin)
    : config_(config),
      text_(make_clip_text(tower_config(config, "text_config", origin), "CLIPTextModelWithProjection", origin + ": text_config")),
      vision_(make_clip_vision(tower_config(config, "vision_config", origin), "CLIPVisionModelWithProjection", origin + ": vision_config")),
      module_(std::make_shared<torch::nn::Module>()) {
  for (auto* tower : {&text_->module(), &vision_->module()}) {
    for (const auto& child : tower->named_children()) module_->register_module(child.key(), child.value());
  }
  logit_scale_ = module_->register_parameter("logit_scale", torch::empty({}), false);
}

Tensor ClipModel::scores(const Tensor& images, const Tensor& texts) const {
  const auto unit = [](const Tensor& x) { return x / x.norm(2, -1, /*keepdim=*/true); };
  return scale() * (unit(images) * unit(texts).repeat({images.size(0) / texts.size(0), 1})).sum(-1);
}

void draw_clip_weights(torch::nn::Module& model, double logit_scale, uint64_t seed) {
  const torch::NoGradGuard no_grad;
  std::map<std::string, double> layers;  // of each tower
  const auto tower_of = [](const std::string& name) { return name.substr(0, name.find('.')); };
  for (const auto& item : model.named_parameters()) layers[tower_of(item.key())] += item.key().ends_with("layer_norm1.weight");
  for (const auto& item : model.named_parameters()) {
    Tensor weight = item.value();
    const std::string& name = item.key();
    if (name == "logit_scale") {
      weight.fill_(logit_scale);
    } else if (weight.dim() == 1 && name.ends_with(".weight")) {  // a norm's
      weight.fill_(1);
    } else if (const double deviation = clip_deviation(name, weight, layers[tower_of(name)]); deviation > 0) {
      weight.copy_(Generator({seed, stable_hash(name), 0, Purpose::init}).normal(weight.sizes().vec()).mul_(deviation));
    } else {
      weight.zero_();
    }
  }
}

}  // namespace palate
