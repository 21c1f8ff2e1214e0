#include "palate/data/batch.h"

#include <torch/types.h>

#include "palate/core/generator.h"

namespace palate {

Batch Batch::first_view() const {
  Batch first = *this;
  first.views = 1;
  first.x0 = view(0);
  return first;
}

Batch Batch::singles() const {
  if (views == 1) return *this;
  Batch single = *this;
  single.views = 1;
  single.label = torch::cat({torch::ones_like(label), -torch::ones_like(label)});
  const Tensor surplus = 2 * label.to(torch::kCPU, torch::kFloat32) - 1, own = weight.defined() ? weight * surplus : surplus;
  single.weight = torch::cat({own, own});
  for (Visit visit : visits) {
    visit.id = mix(visit.id, 1);
    visit.view = 1;
    single.visits.push_back(visit);
  }
  single.prompts.insert(single.prompts.end(), prompts.begin(), prompts.end());
  single.base_prompts.insert(single.base_prompts.end(), base_prompts.begin(), base_prompts.end());
  single.condition = condition.repeat(2);
  single.base_condition = base_condition.repeat(2);
  return single;
}

Batch Batch::to(c10::Device device, c10::ScalarType dtype) const {
  Batch moved = *this;
  for (Tensor* tensor : {&moved.x0, &moved.label, &moved.prior, &moved.reward}) {
    if (tensor->defined()) *tensor = tensor->to(device);
  }
  moved.condition = condition.to(device, dtype);
  moved.base_condition = base_condition.to(device, dtype);
  return moved;
}

}  // namespace palate
