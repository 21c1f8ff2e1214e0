// What one pass of training sees of the data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "palate/core/tensor.h"
#include "palate/models/condition.h"

namespace palate {

// One coming of one example. It keys every random number that the example meets: (seed, id, draw, purpose).
struct Visit {
  uint64_t id = 0;
  int64_t row = 0;     // in the cache
  int64_t view = 0;    // of the row: the first of this example's
  uint64_t visit = 0;  // how often it came before
  uint64_t draw = 0;   // the visit, or the visit modulo K where K draws of (t, noise) take turns (cached reference errors)
};

// B examples of `views` pictures each: a pair has two, the preferred and the rejected one; a single picture has one.
struct Batch {
  int64_t views = 1;
  std::vector<Visit> visits;  // [B]
  Tensor x0;                  // [views * B, C, (F,) h, w] float32, scaled latents: all first views, then all second ones
  Tensor label;               // [B] float32: P(the first view is preferred); of single pictures +1 good, -1 bad
  Tensor weight;              // [B] float32 on the CPU, of each example's loss; undefined: all 1
  Tensor prior;               // [B] bool: of the class, for prior preservation, and not to be learned; undefined: none
  Tensor reward;              // [B] float32, of single pictures; undefined: the data has none
  std::vector<std::string> prompts, base_prompts;  // own, and those that the reference is asked; "" where the caption was dropped
  Condition condition, base_condition;             // made from them; base_*: empty where they are the same

  int64_t size() const { return static_cast<int64_t>(visits.size()); }
  Tensor view(int64_t number) const { return x0.narrow(0, number * size(), size()); }
  // Its first views alone: what a loss sees that asks for no rejected picture.
  Batch first_view() const;
  // Each view as an example of its own: of a pair, one picture with a thumb up and one with a thumb down. They share neither noise nor
  // timestep, and weigh 2 P - 1, so that a tie weighs nothing (docs/objectives.md, section 6). A batch of single pictures is itself.
  Batch singles() const;
  // On a device, conditions in the compute dtype.
  Batch to(c10::Device device, c10::ScalarType dtype) const;
};

}  // namespace palate
