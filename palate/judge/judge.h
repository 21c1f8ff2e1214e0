// A judge scores pictures against their prompts. Higher is better.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "palate/core/tensor.h"

namespace palate {

struct Scores {
  Tensor total;                         // [B] float64
  std::map<std::string, Tensor> parts;  // named attributes, [B] float64; NaN where a prompt does not ask for it
};

class Judge {
 public:
  virtual ~Judge() = default;
  virtual std::string name() const = 0;
  virtual Scores score(const Tensor& images, const std::vector<std::string>& prompts) = 0;  // images: uint8 [B, 3, H, W]
  virtual double tie_margin() const = 0;  // scores nearer than this count as equal: a difference that no person sees
};

}  // namespace palate
