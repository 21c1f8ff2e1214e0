// Constants that more than one optimizer has.
#pragma once

#include "palate/config/fields.h"

namespace palate {

struct AdamWConfig {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 1e-2;
  void visit(Fields& f);
};

void visit_betas(Fields& f, double& beta1, double& beta2);
void visit_weight_decay(Fields& f, double& weight_decay);
void visit_eps(Fields& f, double& eps);

}  // namespace palate
