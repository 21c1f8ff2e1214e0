// The strength of the tie to the reference, which losses with an implicit reward share: z = k m with m in units of the error
// (docs/objectives.md, section 0.5).
#pragma once

#include <cmath>
#include <string>

#include "palate/config/fields.h"
#include "palate/core/error.h"

namespace palate {

struct Beta {
  double beta;                  // not a number: "auto", found in training (train/logit_scale.h)
  std::string beta_convention;  // the method's own unless a config says another one
  double beta_target = 0.1;
  int64_t auto_steps = 50;

  // `help`: what is usual for the method. `former`: the key of earlier versions, if it had another.
  void visit(Fields& f, const char* help, const std::vector<std::string>& former = {}) {
    f("beta", beta, help, {.min = 0, .choices = {"auto"}, .aliases = former});
    f("beta_convention", beta_convention,
      "palate: z = beta/2 * margin, as the Diffusion-DPO paper; diffusers: z = beta * margin; per-T: z = 1000 beta/2 * margin",
      {.choices = {"palate", "diffusers", "per-T"}});
    f("beta_target", beta_target, "with beta = \"auto\": the mean |z| after auto_steps that beta is chosen for", {.min = 0});
    f("auto_steps", auto_steps, "with beta = \"auto\": steps at the whole learning rate until beta is chosen, from the later half of them",
      {.min = 1});
    f.require(automatic() || beta > 0, "objective.beta is 0: the loss would not depend on the model");
    f.require(!automatic() || beta_target > 0, "objective.beta_target is 0: beta would be, too; 0.1 is usual");
  }
  bool automatic() const { return std::isnan(beta); }
  double k() const {
    check<UsageError>(!automatic(), "objective.beta is \"auto\", which `palate train` finds: give the number that its log tells");
    return beta_convention == "diffusers" ? beta : beta_convention == "per-T" ? 500 * beta : beta / 2;
  }
  void set_k(double k) { beta = beta_convention == "diffusers" ? k : beta_convention == "per-T" ? k / 500 : 2 * k; }
};

}  // namespace palate
