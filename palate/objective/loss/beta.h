// The strength of the tie to the reference, which losses with an implicit reward share: z = k m with m in units of the error
// (docs/objectives.md, section 0.5).
#pragma once

#include <string>

#include "palate/config/fields.h"

namespace palate {

struct Beta {
  double beta;
  std::string beta_convention;  // the method's own unless a config says another one

  // `help`: what is usual for the method. `former`: the key of earlier versions, if it had another.
  void visit(Fields& f, const char* help, const std::vector<std::string>& former = {}) {
    f("beta", beta, help, {.min = 0, .aliases = former});
    f("beta_convention", beta_convention,
      "palate: z = beta/2 * margin, as the Diffusion-DPO paper; diffusers: z = beta * margin; per-T: z = 1000 beta/2 * margin",
      {.choices = {"palate", "diffusers", "per-T"}});
    f.require(beta > 0, "objective.beta is 0: the loss would not depend on the model");
  }
  double k() const { return beta_convention == "diffusers" ? beta : beta_convention == "per-T" ? 500 * beta : beta / 2; }
};

}  // namespace palate
