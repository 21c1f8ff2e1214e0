#include "palate/models/denoiser.h"

#include "palate/core/error.h"

namespace palate {

std::vector<Tensor> Denoiser::features(const Tensor&, const Tensor&, const Condition&, const std::vector<std::string>&) {
  fail<UsageError>("[denoiser] the activations of this kind of model cannot be taken as features: use a UNet2DConditionModel");
}

}  // namespace palate
