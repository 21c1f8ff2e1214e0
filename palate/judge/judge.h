// A judge scores pictures against their prompts. Higher is better.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "palate/core/registry_line.h"
#include "palate/core/tensor.h"

namespace palate {

struct Scores {
  Tensor total;                         // [B] float64
  std::map<std::string, Tensor> parts;  // named attributes, [B] float64; NaN where a prompt does not ask for it
};

class Judge {
 public:
  virtual ~Judge() = default;
  virtual std::string name() const = 0;  // what it was made by: make_judge(name()) makes another one
  // Names everything that a score depends on (weights by their hash, sizes, a version of its own), in one line: two judges of one identity
  // give the same scores, so what is kept by it may be used again.
  virtual std::string identity() const = 0;
  // UsageError when it cannot score such pictures of these prompts. Cheap: it is asked before anything is drawn.
  virtual void require(int64_t height, int64_t width, const std::vector<std::string>& prompts) const = 0;
  // pictures: uint8 [B, 3, H, W], one a prompt. No picture's score depends on the others.
  virtual Scores score(const Tensor& pictures, const std::vector<std::string>& prompts) = 0;
  // Scores nearer than this are a tie: a difference that no person sees. None: only equal scores are.
  virtual std::optional<double> tie_margin() const { return std::nullopt; }
};

// The one table of names (registry.cpp): "oracle", or with a folder "clip:DIR". UsageError names the nearest for an unknown one, and says
// what a folder lacks.
std::unique_ptr<Judge> make_judge(const std::string& name);
std::vector<RegistryLine> judges();
std::vector<std::string> judge_names();

// Several judges, in the order of their names; each is asked once. UsageError for a name that is given twice.
using Judges = std::vector<std::unique_ptr<Judge>>;
Judges make_judges(const std::vector<std::string>& names);

// One after the other, as if they had been scored at once.
Scores concatenate(const std::vector<Scores>& parts);

}  // namespace palate
