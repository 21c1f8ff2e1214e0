#include "palate/objective/metrics.h"

#include <torch/types.h>

namespace palate {

std::map<std::string, double> step_metrics(const ObjectiveOutput& output) {
  std::vector<std::pair<const char*, Tensor>> means;
  const auto add = [&](const char* name, const Tensor& values) { means.emplace_back(name, values.detach().to(torch::kFloat32).mean()); };
  const PairErrors& e = output.errors;
  add("loss", output.loss);
  add("model_w_err", e.policy_win);
  if (e.policy_lose.defined()) add("model_l_err", e.policy_lose);
  if (e.reference_win.defined()) {
    add("ref_w_err", e.reference_win);
    add("w_diff", e.policy_win - e.reference_win);
  }
  if (e.reference_lose.defined()) {
    add("ref_l_err", e.reference_lose);
    add("l_diff", e.policy_lose - e.reference_lose);
  }
  if (const Tensor& z = output.terms.logits; z.defined()) {
    add("inside_term", z);
    add("implicit_acc", z.gt(0).to(torch::kFloat32) + 0.5 * z.eq(0).to(torch::kFloat32));
  }
  if (output.terms.reward_win.defined() && output.terms.reward_lose.defined()) {
    const Tensor &win = output.terms.reward_win, &lose = output.terms.reward_lose;
    add("rewards/chosen", win);
    add("rewards/rejected", lose);
    add("rewards/margins", win - lose);
    add("rewards/accuracies", win.gt(lose));
  }
  std::vector<Tensor> values;
  for (const auto& entry : means) values.push_back(entry.second);
  const Tensor all = at::stack(values).to(torch::kCPU);
  std::map<std::string, double> metrics;
  for (size_t i = 0; i < means.size(); ++i) metrics[means[i].first] = static_cast<double>(all.data_ptr<float>()[i]);
  return metrics;
}

}  // namespace palate
