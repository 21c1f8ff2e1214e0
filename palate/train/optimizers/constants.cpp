#include "palate/train/optimizers/constants.h"

namespace palate {

void visit_betas(Fields& f, double& beta1, double& beta2) {
  f("beta1", beta1, "decay of the gradient's running mean", {.min = 0, .max = 0.999999, .aliases = {"adam_beta1"}});
  f("beta2", beta2, "decay of the squared gradient's running mean", {.min = 0, .max = 0.9999999, .aliases = {"adam_beta2"}});
}

void visit_eps(Fields& f, double& eps) { f("eps", eps, "added to the root of the second moment", {.min = 0, .aliases = {"adam_epsilon"}}); }

void visit_weight_decay(Fields& f, double& weight_decay) {
  f("weight_decay", weight_decay, "decoupled weight decay", {.min = 0, .aliases = {"adam_weight_decay"}});
}

void AdamWConfig::visit(Fields& f) {
  visit_betas(f, beta1, beta2);
  visit_eps(f, eps);
  visit_weight_decay(f, weight_decay);
}

}  // namespace palate
