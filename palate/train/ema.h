// A running mean of the weights with the semantics of diffusers' EMAModel (its defaults): after update n the decay is
// min(decay, (1 + m) / (10 + m)) with m = n - 1, and 0 for the first, so that the mean starts at the weights themselves.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "palate/core/tensor.h"

namespace palate {

class Ema {
 public:
  Ema(double decay, std::vector<std::string> names, const std::vector<Tensor>& values);

  void update(const std::vector<Tensor>& values);
  // Exchanges the mean with the values, bit for bit; a second call puts them back.
  void swap(const std::vector<Tensor>& values);

  // "ema.NAME"; load() throws FormatError for a missing name or another shape.
  void save(std::map<std::string, Tensor>& state) const;
  void load(const std::map<std::string, Tensor>& state, int64_t updates);

 private:
  double decay_;
  std::vector<std::string> names_;
  std::vector<Tensor> mean_;
  int64_t updates_ = 0;
};

}  // namespace palate
