// Seeded randomness as an argument. A generator is keyed by (seed, sample, draw, purpose) and by nothing else, so a
// draw does not depend on the batch it falls into, on worker or rank, or on what was drawn before; a run resumes with
// the same draws, and winner and loser of a pair share their noise because they share the key.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "palate/core/tensor_fwd.h"

namespace palate {

// What a draw is for. The values are part of every run's reproducibility: never renumber, only append.
enum class Purpose : uint32_t {
  init = 0,          // initial weights (sample = hash of the parameter's name)
  shuffle = 1,       // order of an epoch
  timestep = 2,      // t of a training example
  noise = 3,         // eps of a training example
  posterior = 4,     // VAE posterior sample
  crop = 5,          // one crop for both images of a pair
  flip = 6,          // one flip for both images of a pair
  caption_drop = 7,  // empty prompt
  lora_dropout = 8,  // LoRA dropout mask
  latents = 9,       // starting noise of a generated image
  sampler = 10,      // noise that a stochastic sampler adds
  split = 11,        // train / held-out split
  world = 12,        // scenes and renders of the embedded world
  label = 13,        // a simulated person's choice
  bootstrap = 14,    // resampled prompts
  test = 15,
  step_noise = 16,         // z of the step that a perceptual error space makes
  features_timestep = 17,  // t' of a perceptual error space that looks at any timestep
};

struct Key {
  uint64_t seed = 0;
  uint64_t sample = 0;  // pair id, prompt id, hash of a name
  uint64_t draw = 0;    // epoch, draw or step
  Purpose purpose = Purpose::test;
};

// Philox 4x32-10 (Salmon et al., 2011) in counter mode.
class Generator {
 public:
  explicit Generator(const Key& key);

  uint32_t next();   // uniform on 32 bits
  double uniform();  // [0, 1), 53 bits
  double uniform(double low, double high);
  double normal();                                    // mean 0, variance 1 (Box-Muller)
  int64_t below(int64_t limit);                       // {0 .. limit-1} without bias; limit >= 1
  Tensor normal(const std::vector<int64_t>& sizes);   // float32 on the CPU
  Tensor uniform(const std::vector<int64_t>& sizes);  // float32 on the CPU, [0, 1)
  std::vector<int64_t> permutation(int64_t count);    // Fisher-Yates

 private:
  std::array<uint32_t, 2> key_;
  std::array<uint32_t, 4> counter_;
  std::array<uint32_t, 4> block_;
  int used_ = 4;
  bool has_spare_ = false;
  double spare_ = 0;
};

// A hash of text that is the same on every machine and in every release (FNV-1a, 64 bits, then mixed).
uint64_t stable_hash(std::string_view text);

// One 64-bit number mixed from two (splitmix64): for keys of keys.
uint64_t mix(uint64_t a, uint64_t b);

}  // namespace palate
