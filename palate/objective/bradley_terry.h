// The loss of a reward model: how likely the labels of pairs are under the scores that it gives their pictures. docs/objectives.md,
// section 18.
#pragma once

#include <string>

#include "palate/config/fields.h"
#include "palate/core/tensor.h"

namespace palate {

struct BradleyTerryConfig {
  std::string ties = "half";  // half | rao-kupper
  double theta = 5;           // of rao-kupper, above 1
  double label_smoothing = 0;

  void visit(Fields& f);
};

// scores of the first and the second pictures, label P(the first is preferred), 0.5 a tie; all [B] -> the loss of each pair [B].
Tensor bradley_terry(const BradleyTerryConfig& config, const Tensor& first, const Tensor& second, const Tensor& label);

}  // namespace palate
