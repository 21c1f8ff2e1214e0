#include "palate/objective/step_metrics.h"

#include <torch/types.h>

namespace palate {

std::map<std::string, double> step_metrics(const ObjectiveOutput& output) {
  std::vector<std::pair<std::string, Tensor>> means;
  const auto add = [&](const std::string& name, const Tensor& values) {
    means.emplace_back(name, values.detach().to(torch::kFloat32).mean());
  };
  const auto view = [&](const Tensor& d, int64_t number) { return d.narrow(0, number * output.examples, output.examples); };
  add("loss", output.loss);
  const char* names[2][3] = {{"model_w_err", "ref_w_err", "w_diff"}, {"model_l_err", "ref_l_err", "l_diff"}};
  for (int64_t i = 0; i < output.views; ++i) {
    add(names[i][0], view(output.policy, i));
    if (!output.reference.defined()) continue;
    add(names[i][1], view(output.reference, i));
    add(names[i][2], view(output.policy, i) - view(output.reference, i));
  }
  if (const Tensor& z = output.terms.logits; z.defined()) {
    add("inside_term", z);
    add("implicit_acc", z.gt(0).to(torch::kFloat32) + 0.5 * z.eq(0).to(torch::kFloat32));
  }
  if (output.terms.reward.defined() && output.views == 2) {
    const Tensor win = view(output.terms.reward, 0), lose = view(output.terms.reward, 1);
    add("rewards/chosen", win);
    add("rewards/rejected", lose);
    add("rewards/margins", win - lose);
    add("rewards/accuracies", win.gt(lose));
  }
  for (const auto& [name, values] : output.terms.terms) add(name, values);
  std::vector<Tensor> values;
  for (const auto& entry : means) values.push_back(entry.second);
  const Tensor all = at::stack(values).to(torch::kCPU);
  std::map<std::string, double> metrics;
  for (size_t i = 0; i < means.size(); ++i) metrics[means[i].first] = static_cast<double>(all.data_ptr<float>()[i]);
  return metrics;
}

}  // namespace palate
