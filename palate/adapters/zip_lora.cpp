#include "palate/adapters/zip_lora.h"

#include <torch/optim/adam.h>
#include <torch/types.h>

#include <cmath>

#include "palate/adapters/lora_adapter.h"
#include "palate/core/error.h"

namespace palate {
namespace {

enum class ZipMode { content, style, merged };

// One side's update of one layer, as float32 on the layer's device; undefined halves where the side has none.
struct ZipPart {
  Tensor down, up;      // the scale is in up
  Tensor coefficients;  // [in], trained where both sides have a part

  bool there() const { return down.defined(); }
};

class ZipAdapter : public Adapter {
 public:
  ZipAdapter(const Adaptable& layer, std::shared_ptr<const ZipMode> mode) : layer_(layer), mode_(std::move(mode)) {}

  Tensor delta(const Tensor& input) override {
    if (*mode_ == ZipMode::content) return product(content, input);
    if (*mode_ == ZipMode::style) return product(style, input);
    return product(content, weighed(content, input)) + product(style, weighed(style, input));
  }

  ZipPart content, style;

 private:
  // A column's coefficient is a factor of what that column is multiplied with.
  static Tensor weighed(const ZipPart& part, const Tensor& input) {
    if (!part.coefficients.defined()) return input;
    const Tensor factor = part.coefficients.to(input.scalar_type());
    return part.down.dim() == 4 ? input * factor.view({1, -1, 1, 1}) : input * factor;
  }
  Tensor product(const ZipPart& part, const Tensor& input) const {
    if (!part.there()) return torch::zeros({}, input.options());
    const Tensor a = part.down.to(input.scalar_type()), b = part.up.to(input.scalar_type());
    return a.dim() == 4 ? at::conv2d(layer_.with_weight(input, a), b) : at::linear(at::linear(input, a), b);
  }

  const Adaptable& layer_;
  std::shared_ptr<const ZipMode> mode_;
};

struct ZipLayer {
  std::string name;
  Adaptable* layer;
  std::shared_ptr<ZipAdapter> adapter;
};

// Hangs the adapters on the model for as long as it lives.
class Zipper {
 public:
  Zipper(torch::nn::Module& unet, const LoraModules& content, const LoraModules& style) {
    for (const auto& item : adaptable_layers(unet)) {
      const auto one = content.find(item.name), two = style.find(item.name);
      if (one == content.end() && two == style.end()) continue;
      auto adapter = std::make_shared<ZipAdapter>(*item.layer, mode_);
      if (one != content.end()) adapter->content = part(one->second, *item.layer);
      if (two != style.end()) adapter->style = part(two->second, *item.layer);
      if (adapter->content.there() && adapter->style.there()) {
        adapter->content.coefficients = ones(adapter->content);
        adapter->style.coefficients = ones(adapter->style);
        ++shared_;
      }
      item.layer->adapters.push_back(adapter);
      layers_.push_back({item.name, item.layer, adapter});
    }
  }
  ~Zipper() {
    for (auto& item : layers_) std::erase(item.layer->adapters, std::static_pointer_cast<Adapter>(item.adapter));
  }
  Zipper(const Zipper&) = delete;

  void set_mode(ZipMode mode) { *mode_ = mode; }
  int64_t shared() const { return shared_; }
  const std::vector<ZipLayer>& layers() const { return layers_; }

  Tensor overlap() const {
    Tensor sum;
    for (const auto& item : layers_) {
      const Tensor& one = item.adapter->content.coefficients;
      if (!one.defined()) continue;
      const Tensor mean = (one * item.adapter->style.coefficients).abs().mean();
      sum = sum.defined() ? sum + mean : mean;
    }
    return sum;
  }

  std::vector<Tensor> coefficients() const {
    std::vector<Tensor> all;
    for (const auto& item : layers_) {
      if (!item.adapter->content.coefficients.defined()) continue;
      all.push_back(item.adapter->content.coefficients);
      all.push_back(item.adapter->style.coefficients);
    }
    return all;
  }

 private:
  static ZipPart part(const LoraModule& module, Adaptable& layer) {
    const auto options = torch::TensorOptions().dtype(torch::kFloat32).device(layer.base_weight().device());
    return {module.down.to(options), module.up.to(options) * module.scale(), {}};
  }
  static Tensor ones(const ZipPart& part) { return torch::ones({part.down.size(1)}, part.down.options()).requires_grad_(true); }

  std::shared_ptr<ZipMode> mode_ = std::make_shared<ZipMode>(ZipMode::merged);
  std::vector<ZipLayer> layers_;
  int64_t shared_ = 0;
};

Tensor alone(Zipper& zipper, ZipMode mode, const ZipPredict& predict, int64_t step, ZipSide side) {
  const torch::NoGradGuard no_grad;
  zipper.set_mode(mode);
  const Tensor prediction = predict(step, side).to(torch::kFloat32);
  zipper.set_mode(ZipMode::merged);
  return prediction;
}

ZipLoss train_step(Zipper& zipper, const ZipOptions& options, const ZipPredict& predict, int64_t step) {
  ZipLoss loss;
  // One side after the other: its graph is gone before the next is built.
  for (const ZipSide side : {ZipSide::content, ZipSide::style}) {
    const bool content = side == ZipSide::content;
    const Tensor target = alone(zipper, content ? ZipMode::content : ZipMode::style, predict, step, side);
    const Tensor error = at::mse_loss(predict(step, side).to(torch::kFloat32), target);
    error.backward();
    (content ? loss.content : loss.style) = error.item<double>();
  }
  const Tensor overlap = zipper.overlap();
  (overlap * options.penalty).backward();
  loss.overlap = overlap.item<double>();
  return loss;
}

Tensor columns(const ZipPart& part) {
  if (!part.coefficients.defined()) return part.down;
  std::vector<int64_t> shape(static_cast<size_t>(part.down.dim()), 1);
  shape[1] = -1;
  return part.down * part.coefficients.view(shape);
}

LoraModule joined(const ZipAdapter& adapter) {
  std::vector<Tensor> downs, ups;
  for (const ZipPart* part : {&adapter.content, &adapter.style}) {
    if (!part->there()) continue;
    downs.push_back(columns(*part));
    ups.push_back(part->up);
  }
  LoraModule module{torch::cat(downs, 0).detach().cpu(), torch::cat(ups, 1).detach().cpu(), {}, 0};
  module.alpha = static_cast<float>(module.rank());
  return module;
}

}  // namespace

const LoraModules& zip_part(const LoraFile& lora) {
  check<UsageError>(!lora.has_dora(), lora.origin, ": ZipLoRA merges LoRAs, and this is a DoRA");
  check<UsageError>(lora.components.size() == 1 && lora.components.contains("unet"), lora.origin,
                    ": ZipLoRA merges the U-Net's LoRAs, and this file holds one for a text encoder: take the U-Net's with palate lora "
                    "convert --only unet");
  return lora.components.find("unet")->second;
}

LoraFile zip_loras(torch::nn::Module& unet, const LoraFile& content, const LoraFile& style, const ZipOptions& options,
                   const ZipPredict& predict, const std::function<void(int64_t step, const ZipLoss& loss)>& report) {
  Zipper zipper(unet, zip_part(content), zip_part(style));
  check<UsageError>(zipper.shared() > 0, content.origin, " and ", style.origin,
                    ": no layer is adapted by both, so there is nothing to weigh: merge them instead");
  torch::optim::Adam adam(zipper.coefficients(), torch::optim::AdamOptions(options.learning_rate));
  for (int64_t step = 0; step < options.steps; ++step) {
    const ZipLoss loss = train_step(zipper, options, predict, step);
    check(std::isfinite(loss.content + loss.style + loss.overlap), "zip: the loss is not finite at step ", step,
          ": a smaller --learning-rate may help");
    adam.step();
    adam.zero_grad();
    if (report) report(step, loss);
  }
  LoraFile out;
  out.origin = content.origin + " + " + style.origin;
  for (const auto& item : zipper.layers()) out.components["unet"][item.name] = joined(*item.adapter);
  return out;
}

}  // namespace palate
