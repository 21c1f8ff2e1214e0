// Ten steps of a CLIPModel on pairs against transformers and torch.optim (make_clip_model.py): losses, gradient norms, how far each weight
// moved.
#include <doctest/doctest.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include "palate/io/safetensors.h"
#include "palate/models/clip/clip_model.h"
#include "palate/objective/bradley_terry.h"
#include "palate/train/optimizer.h"
#include "palate/train/optimizers/constants.h"
#include "palate/train/parameters.h"
#include "tests/support/golden_file.h"
#include "tests/support/paths.h"

using namespace palate;

TEST_CASE("reward model: ten steps equal transformers' and torch's") {
  for (const std::string name : {"clip_model_quick", "clip_model_gelu"}) {
    CAPTURE(name);
    const test::GoldenFile golden(name + "/steps.safetensors");
    const auto model = load_clip_model(test::golden(name));
    TensorMap initial;
    for (const auto& item : model->module().named_parameters()) initial[item.key()] = item.value().clone();
    Parameters parameters;
    parameters.add("", model->module());
    OptimizerConfig config;
    config.constants = Constants(AdamWConfig{.eps = 1e-3, .weight_decay = 0.3});
    const auto optimizer = make_optimizer(config, parameters.names(), parameters.values());
    std::vector<Tensor> losses, norms;
    for (int step = 0; step < 10; ++step) {
      const Tensor scores = model->scores(model->image_embeds(golden.at("pixel_values")), model->text_embeds(golden.at("input_ids")));
      const auto sides = scores.chunk(2);
      const Tensor loss = bradley_terry({}, sides[0], sides[1], golden.at("label")).mean();
      loss.backward();
      const auto gradients = parameters.gradients(parameters.groups()[0]);
      losses.push_back(loss.detach());
      norms.push_back(clip_gradients(gradients, 1.0));
      optimizer->step(gradients, 1e-2);
      parameters.clear_gradients();
    }
    golden.expect("losses", torch::stack(losses));
    golden.expect("norms", torch::stack(norms));
    for (const auto& item : model->module().named_parameters())
      golden.expect("moved." + item.key(), item.value().detach() - initial.at(item.key()), 3e-5);  // 1.5e-5 with older instructions
  }
}
