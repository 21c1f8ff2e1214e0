#pragma once

#include <string>
#include <vector>

#include "palate/config/fields.h"

namespace palate {

struct PerceptualConfig {
  std::vector<std::string> tap = {"down"};
  std::string features_timesteps = "previous", features_dtype = "float32";

  void visit(Fields& f) {
    f("tap", tap, "where the encoder's features are taken: down (after the last down block), mid (after the mid block), or a list of both",
      {.choices = {"down", "mid"}});
    f("features_timesteps", features_timesteps,
      "where the encoder looks: previous (after one step of DDPM, at t - 1) or uniform (x0 and noise as predicted, at any timestep)",
      {.choices = {"previous", "uniform"}});
    f("features_dtype", features_dtype,
      "what the encoder computes in: float32, or network (as the model is held: in bf16 rounding is larger than what is compared)",
      {.choices = {"float32", "network"}});
    f.require(!tap.empty(), "objective.tap is empty: expected down, mid, or both");
  }
};

}  // namespace palate
