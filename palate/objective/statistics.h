// What passes between the axes of the grid. All [B] tensors are float32.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "palate/core/tensor.h"
#include "palate/data/batch.h"
#include "palate/diffusion/noise_process.h"

namespace palate {

// What is drawn for each example of a batch: shared by its views, by policy and reference.
struct Noising {
  Tensor t;                // [B], in the noise process's type
  Tensor weight;           // [B] float32: of the timestep, times the example's own; not that of min-SNR
  Tensor noise;            // [B, C, (F,) h, w] float32
  Tensor step_noise = {};  // like noise: z of a stochastic step from x_t; undefined where nothing asks for it
  Tensor previous_t = {};  // [B], like t: where a sampler's step from t leads; undefined where nothing asks for it
  Tensor features_t = {};  // [B], like t: where a perceptual space looks, if not where its step leads; undefined where nothing asks for it
  Tensor inversion_noise = {};  // [B, nodes, ...]: z at each node of an inversion; undefined: noise at each of them
};

// The pictures of a batch with noise: made once a pass, whatever networks look at them.
struct Noised {
  Tensor x0, noise, x_t, target;                             // [views * B, C, (F,) h, w] float32; target: what an exact network predicts
  Tensor t;                                                  // [views * B]
  Tensor step_noise = {}, previous_t = {}, features_t = {};  // as in Noising, for each view
  Tensor error_weight = {};                                  // [views * B] float32: of min-SNR at t; undefined: 1
  const NoiseProcess* process = nullptr;                     // outlives this
};

// What one network gives for them.
struct Branch {
  Tensor d;         // [views * B]: mean square of the residual; the policy's with gradients
  Tensor residual;  // [views * B, ...]: embedded prediction minus embedded target; only where the loss needs it
  // [views * B, C, (F,) h, w]: prediction minus target as networks give them, in whatever space errors are; detached; only where asked for
  Tensor output = {};
};

// What a loss sees.
struct Statistics {
  Branch policy, reference;  // the reference's tensors are undefined for losses that need none
  const Batch& batch;        // as the loss sees it
  const Noised& noised;

  Tensor win(const Tensor& values) const { return values.narrow(0, 0, batch.size()); }
  Tensor lose(const Tensor& values) const { return values.narrow(0, batch.size(), batch.size()); }
  // [rows]: the mean over a row's numbers of the product, as d is of a residual with itself. Float32.
  static Tensor inner(const Tensor& a, const Tensor& b);
};

// What a loss must be given.
struct Needs {
  bool reference = false;         // reference.d
  bool rejected = false;          // batches of two views
  bool labels = false;            // single pictures with a thumb up or down (Batch::label +1 or -1); pairs become such (Batch::singles)
  bool residuals = false;         // Branch::residual, of the reference too where that is needed
  bool output = false;            // Branch::output of the policy
  bool reference_output = false;  // and of the reference
  bool steps = false;             // Noised::previous_t
  bool step_noise = false;        // Noised::step_noise
  bool error_weight = false;      // takes Noised::error_weight into its formula; else it multiplies the loss
  bool rewards = false;           // single pictures with Batch::reward, and Loss::set_rewards before the first of them
  int64_t least_batch = 1;        // examples in one pass

  int64_t pictures() const { return rejected || labels ? 2 : 1; }  // of each pair that the network looks at
};

struct LossOutput {
  Tensor loss;                               // [B]; the batch mean is taken outside, never inside the logsigmoid
  Tensor logits = {};                        // [B], z of docs/objectives.md; undefined for losses without one
  Tensor reward = {};                        // [views * B] implicit rewards, detached; undefined without a reference
  std::map<std::string, Tensor> terms = {};  // [B] or [], logged by name: an anchor, KTO's estimate of the KL ...
  Tensor count = {};                         // []: what the sum of the losses is divided by; undefined: all examples
  std::map<std::string, Tensor> shown = {};  // [B]: what `palate step` gives besides, by name; not logged
};

}  // namespace palate
