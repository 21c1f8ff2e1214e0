// The oracle: looks at a picture and says what is in it, whether that is what the caption asks for, and how clean it is.
// Reward = 5 acc + 3 appeal + iou; a clean render of what was asked for scores 8.2 to 8.5. It can be fooled: appeal rewards
// flat palette colours, whatever they show.
#pragma once

#include <cstdint>
#include <vector>

#include "palate/core/tensor_fwd.h"
#include "palate/world/scene.h"

namespace palate::world {

// A connected patch of one palette colour.
struct Patch {
  Object object;        // the shape whose template fits best; size by extent (12 pixels and more are big)
  double x = 0, y = 0;  // centre of mass
  double iou = 0;       // with the best template, of the 12 x 12 normalised mask
  int64_t area = 0;     // pixels; patches below 14 are not looked at
};

struct Seen {
  int background = 0;          // the commonest background colour along the border
  std::vector<Patch> patches;  // by colour, then in reading order
  double appeal = 0;           // exp(-mean distance to the nearest palette colour / 0.06)
};

// picture: float32 [3, 32, 32] in [0, 1].
Seen look(const Tensor& picture);

// Shares of the checks that hold, in [0, 1]; NaN for what the caption does not ask. With two objects colour, shape and size
// are means over both. Patches are matched to the caption's objects so that most checks hold, and then for the best iou.
struct Verdict {
  double reward = 0, acc = 0, strict = 0, appeal = 0, iou = 0;
  double background = 0, colour = 0, shape = 0, size = 0, relation = 0, count = 0;
};
Verdict verdict(const Scene& scene, const Seen& seen);
Verdict verdict(const Scene& scene, const Tensor& picture);

}  // namespace palate::world
