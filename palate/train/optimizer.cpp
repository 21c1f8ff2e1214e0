#include "palate/train/optimizer.h"

#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/train/optimizers/member.h"

// The one table of optimizers. A new one is one file of train/optimizers and one line here: the function that the file ends with, the name,
// one sentence, and how many bytes it keeps for each number that it moves.
#define PALATE_OPTIMIZERS(line)                                                                                            \
  line(adamw_optimizer, "adamw", "AdamW", 8) line(adamw_8bit_optimizer, "adamw8bit", "AdamW with moments in 8 bits", 2.04) \
      line(adafactor_optimizer, "adafactor", "sums of rows and columns instead of moments", 0.05)                          \
          line(lion_optimizer, "lion", "the sign of a mean of the gradient", 4)                                            \
              line(prodigy_optimizer, "prodigy", "AdamW that finds the rate", 16)

namespace palate {

#define PALATE_OPTIMIZER(function, name, summary, bytes) OptimizerMember function();
PALATE_OPTIMIZERS(PALATE_OPTIMIZER)

namespace {

struct OptimizerLine {
  const char* name;
  const char* summary;
  OptimizerMember (*member)();
  double bytes_per_value;
};
#define PALATE_ROW(function, name, summary, bytes) {name, summary, function, bytes},
constexpr OptimizerLine lines[] = {PALATE_OPTIMIZERS(PALATE_ROW)};

const OptimizerLine& find(const std::string& name) {
  for (const auto& line : lines) {
    if (name == line.name) return line;
  }
  const auto names = names_of(optimizers());
  fail<UsageError>("optimizer.name: there is no '", name, "'", did_you_mean(name, names), "; it is one of ", one_of(names));
}

std::vector<Tensor> defined(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> kept;
  kept.reserve(tensors.size());
  for (const auto& tensor : tensors) {
    if (tensor.defined()) kept.push_back(tensor);
  }
  return kept;
}

void restore(const std::map<std::string, Tensor>& state, const std::string& name, Tensor& into) {
  const auto found = state.find(name);
  check<FormatError>(found != state.end(), "optimizer state: expected '", name,
                     "', found no such tensor: the checkpoint is of another run or another optimizer");
  check<FormatError>(found->second.sizes() == into.sizes(), "optimizer state: '", name, "' should be ", show_shape(into.sizes()),
                     ", found ", show_shape(found->second.sizes()), ": the checkpoint is of another run");
  into.copy_(found->second);
}

}  // namespace

std::unique_ptr<Optimizer> make_optimizer(const OptimizerConfig& config, std::vector<std::string> names, std::vector<Tensor> values) {
  return find(config.name).member().make(config.constants, names, values);
}

std::vector<ChoiceLine> optimizers() {
  std::vector<ChoiceLine> all;
  for (const auto& line : lines) all.push_back({line.name, line.summary, line.member().defaults});
  return all;
}

int64_t optimizer_state_bytes(const std::string& name, int64_t values) {
  return static_cast<int64_t>(find(name).bytes_per_value * static_cast<double>(values));
}

void Optimizer::step(const std::vector<Tensor>& gradients, double lr) {
  const torch::NoGradGuard no_grad;
  ++steps_;
  update(gradients, lr);
}

void Optimizer::save(std::map<std::string, Tensor>& state) const {
  for (const auto& [kind, tensors] : state_) {
    for (size_t i = 0; i < tensors.size(); ++i) {
      if (tensors[i].defined()) state[kind + "." + names_[i]] = tensors[i];
    }
  }
}

void Optimizer::load(const std::map<std::string, Tensor>& state, int64_t steps) {
  const torch::NoGradGuard no_grad;
  for (auto& [kind, tensors] : state_) {
    for (size_t i = 0; i < tensors.size(); ++i) {
      if (tensors[i].defined()) restore(state, kind + "." + names_[i], tensors[i]);
    }
  }
  steps_ = steps;
}

std::vector<Tensor>& Optimizer::add_state(const std::string& kind) {
  const torch::NoGradGuard no_grad;
  auto& tensors = state_[kind];
  for (const auto& value : values_) tensors.push_back(torch::zeros_like(value));
  return tensors;
}

Tensor clip_gradients(const std::vector<Tensor>& gradients, double limit) {
  const torch::NoGradGuard no_grad;
  const std::vector<Tensor> grads = defined(gradients);
  if (grads.empty()) return torch::zeros({});
  const Tensor norm = at::linalg_vector_norm(torch::stack(at::_foreach_norm(grads, 2)), 2);
  if (limit > 0) at::_foreach_mul_(grads, (limit / (norm + 1e-6)).clamp_max(1.0));
  return norm;
}

}  // namespace palate
