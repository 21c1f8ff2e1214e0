#include "palate/nn/gradient_checkpoint.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include <memory>

#include "palate/nn/adaptable.h"

namespace palate {
namespace {

using Run = std::function<Tensor(const std::vector<Tensor>&)>;

struct Closure : torch::CustomClassHolder {
  Run run;
  uint64_t adapters;  // that the forward pass applied
};

struct Checkpointed : torch::autograd::Function<Checkpointed> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Run* run, const Tensor& /*anchor*/, at::TensorList given) {
    const torch::autograd::variable_list inputs = given.vec();
    context->save_for_backward(inputs);
    auto closure = c10::make_intrusive<Closure>();
    closure->run = *run;
    closure->adapters = active_adapters();
    context->saved_data["closure"] = torch::IValue::make_capsule(closure);
    return (*run)(inputs);  // no graph is recorded inside a custom function
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    const auto closure = c10::static_intrusive_pointer_cast<Closure>(context->saved_data["closure"].toCapsule());
    const auto saved = context->get_saved_variables();
    std::vector<Tensor> inputs;
    for (const auto& input : saved) {
      Tensor copy = input.defined() ? input.detach() : input;
      if (input.defined() && input.requires_grad()) copy.set_requires_grad(true);
      inputs.push_back(copy);
    }
    {
      const torch::AutoGradMode with_graph(true);
      const AdaptersOnly adapters(closure->adapters);
      const Tensor out = closure->run(inputs);
      if (out.requires_grad()) torch::autograd::backward({out}, {gradients[0]});  // a frozen segment of frozen inputs has nothing to give
    }
    torch::autograd::variable_list result = {Tensor(), Tensor()};
    for (const auto& input : inputs) result.push_back(input.defined() && input.requires_grad() ? input.grad() : Tensor());
    return result;
  }
};

}  // namespace

Tensor checkpointed(const Run& run, const std::vector<Tensor>& inputs) {
  if (!torch::GradMode::is_enabled()) return run(inputs);
  // The anchor makes the node part of the graph even where no input needs a gradient but a parameter inside does.
  const Tensor anchor = torch::zeros({}).set_requires_grad(true);
  return Checkpointed::apply(&run, anchor, at::TensorList(inputs));  // as a list: libtorch sees no variables in a vector
}

}  // namespace palate
