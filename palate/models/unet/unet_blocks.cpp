#include "palate/models/unet/unet_blocks.h"

#include <torch/types.h>

#include "palate/nn/gradient_checkpoint.h"

namespace palate {
namespace {

// A residual block and, where there is one, its transformer: the unit of gradient checkpointing.
Tensor run_layer(ResnetBlock2D& resnet, Transformer2DModel* attention, const Tensor& input, const BlockContext& context) {
  const auto run = [&resnet, attention, bias = context.bias](const std::vector<Tensor>& in) {
    const Tensor x = resnet.forward(in[0], in[1]);
    return attention ? attention->forward(x, in[2], bias) : x;
  };
  const std::vector<Tensor> inputs = {input, context.time, context.text};
  return context.checkpointing ? checkpointed(run, inputs) : run(inputs);
}

std::shared_ptr<Transformer2DModel> transformer(const BlockOptions& o, size_t index) {
  TransformerOptions options = o.transformer;
  options.layers = o.transformers[index];
  return std::make_shared<Transformer2DModel>(options);
}

Transformer2DModel* at(const std::shared_ptr<List<Transformer2DModel>>& list, size_t index) { return list ? &(*list)[index] : nullptr; }

}  // namespace

DownBlock::DownBlock(const BlockOptions& o) {
  if (!o.transformers.empty()) attentions_ = register_module("attentions", std::make_shared<List<Transformer2DModel>>());
  resnets_ = register_module("resnets", std::make_shared<List<ResnetBlock2D>>());
  for (int64_t i = 0; i < o.layers; ++i) {
    ResnetOptions resnet = o.resnet;
    if (i > 0) resnet.in = resnet.out;
    resnets_->add(std::make_shared<ResnetBlock2D>(resnet));
    if (attentions_) attentions_->add(transformer(o, static_cast<size_t>(i)));
  }
  if (o.resample) {
    downsamplers_ = register_module("downsamplers", std::make_shared<List<Downsample2D>>());
    downsamplers_->add(std::make_shared<Downsample2D>(o.resnet.out, o.padding));
  }
}

Tensor DownBlock::forward(Tensor x, const BlockContext& context, std::vector<Tensor>& skips) {
  for (size_t i = 0; i < resnets_->size(); ++i) {
    x = run_layer((*resnets_)[i], at(attentions_, i), x, context);
    skips.push_back(x);
  }
  if (downsamplers_) {
    x = (*downsamplers_)[0].forward(x);
    skips.push_back(x);
  }
  return x;
}

MidBlock::MidBlock(const BlockOptions& o) {
  if (!o.transformers.empty()) attentions_ = register_module("attentions", std::make_shared<List<Transformer2DModel>>());
  resnets_ = register_module("resnets", std::make_shared<List<ResnetBlock2D>>());
  for (size_t i = 0; i <= o.transformers.size(); ++i) resnets_->add(std::make_shared<ResnetBlock2D>(o.resnet));
  for (size_t i = 0; i < o.transformers.size(); ++i) attentions_->add(transformer(o, i));
}

Tensor MidBlock::forward(Tensor x, const BlockContext& context) {
  x = (*resnets_)[0].forward(x, context.time);
  for (size_t i = 1; i < resnets_->size(); ++i) {
    const auto run = [this, i, bias = context.bias](const std::vector<Tensor>& in) {
      return (*resnets_)[i].forward((*attentions_)[i - 1].forward(in[0], in[2], bias), in[1]);
    };
    const std::vector<Tensor> inputs = {x, context.time, context.text};
    x = context.checkpointing ? checkpointed(run, inputs) : run(inputs);
  }
  return x;
}

UpBlock::UpBlock(const BlockOptions& o, int64_t previous, int64_t skip) {
  if (!o.transformers.empty()) attentions_ = register_module("attentions", std::make_shared<List<Transformer2DModel>>());
  resnets_ = register_module("resnets", std::make_shared<List<ResnetBlock2D>>());
  for (int64_t i = 0; i < o.layers; ++i) {
    ResnetOptions resnet = o.resnet;
    // The last residual block takes the skip of the level above's input; the first takes what comes from below.
    resnet.in = (i == 0 ? previous : o.resnet.out) + (i == o.layers - 1 ? skip : o.resnet.out);
    resnets_->add(std::make_shared<ResnetBlock2D>(resnet));
    if (attentions_) attentions_->add(transformer(o, static_cast<size_t>(i)));
  }
  if (o.resample) {
    upsamplers_ = register_module("upsamplers", std::make_shared<List<Upsample2D>>());
    upsamplers_->add(std::make_shared<Upsample2D>(o.resnet.out));
  }
}

Tensor UpBlock::forward(Tensor x, const BlockContext& context, std::vector<Tensor>& skips, int64_t height, int64_t width) {
  for (size_t i = 0; i < resnets_->size(); ++i) {
    const Tensor skip = skips.back();
    skips.pop_back();
    x = run_layer((*resnets_)[i], at(attentions_, i), torch::cat({x, skip}, 1), context);
  }
  return upsamplers_ ? (*upsamplers_)[0].forward(x, height, width) : x;
}

}  // namespace palate
