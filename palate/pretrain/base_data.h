// Training data of the base model, rendered while it trains: example number i is the same in every run of a seed,
// whatever the batch. One chunk is made ahead in a thread of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <string>
#include <vector>

#include "palate/core/tensor.h"
#include "palate/world/scene.h"

namespace palate::world {

struct Examples {
  Tensor pictures;  // [N, 3, 32, 32] in [-1, 1], or what `encode` made of them
  Tensor ids;       // int64 [N, L], or undefined without a tokenizer
};

// Pictures in [-1, 1] to what the model is trained on, and captions to ids. Called in another thread, without gradients.
struct ExampleCodec {
  std::function<Tensor(const Tensor& pictures)> encode;
  std::function<Tensor(const std::vector<std::string>& captions)> tokenize;
};

class ExampleStream {
 public:
  ExampleStream(const Odds& odds, uint64_t seed, ExampleCodec codec) : odds_(odds), seed_(seed), codec_(std::move(codec)) {}
  ~ExampleStream();

  // Examples first .. first + count - 1. Ascending calls are fast.
  Examples get(int64_t first, int64_t count);

 private:
  Examples make(int64_t chunk) const;
  const Examples& chunk(int64_t index);

  Odds odds_;
  uint64_t seed_;
  ExampleCodec codec_;
  int64_t now_ = -1, coming_ = -1;
  Examples current_;
  std::future<Examples> next_;
};

// Distinct pictures without flaws and their scenes, from the same world: for measuring reconstructions.
struct CleanPictures {
  Tensor pictures;  // [N, 3, 32, 32] in [0, 1]
  std::vector<Scene> scenes;
};
CleanPictures clean_pictures(int64_t count, uint64_t seed);

}  // namespace palate::world
