// ZipLoRA (arXiv 2311.13600): a content LoRA and a style LoRA become one, each column of each update with a coefficient of its own,
// found so that the merged model predicts what each LoRA alone predicts for its own prompt.
#pragma once

#include <cstdint>
#include <functional>

#include "palate/adapters/lora_file.h"

namespace torch::nn {
class Module;
}

namespace palate {

struct ZipOptions {
  int64_t steps = 100;
  double learning_rate = 5e-5;  // Adam, betas 0.9 and 0.999
  double penalty = 0.01;        // lambda
};

enum class ZipSide { content, style };

// The network's prediction for one side's prompt at a step. Noise and time step are the same for both sides of a step, and for both
// calls of one side.
using ZipPredict = std::function<Tensor(int64_t step, ZipSide side)>;

// The parts of one step's loss: MSE(merged, content alone) + MSE(merged, style alone) + lambda * sum over layers of mean |m1 m2|.
struct ZipLoss {
  double content = 0, style = 0, overlap = 0;  // the last without lambda
};

// The U-Net's part, which is what can be zipped. UsageError for DoRA and for a file that adapts a text encoder.
const LoraModules& zip_part(const LoraFile& lora);

// `unet` is what `predict` runs; adapters hang on it only while this runs. Coefficients start at 1; layers that one side alone adapts
// keep its update. The result is a plain LoRA: the columns' coefficients are in its down halves, its ranks are the ranks' sums.
// UsageError for DoRA, for text encoders' parts, and when no layer is adapted by both.
LoraFile zip_loras(torch::nn::Module& unet, const LoraFile& content, const LoraFile& style, const ZipOptions& options,
                   const ZipPredict& predict, const std::function<void(int64_t step, const ZipLoss& loss)>& report = {});

}  // namespace palate
