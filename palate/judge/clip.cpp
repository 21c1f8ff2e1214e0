// A folder with a CLIPModel as a judge: exp(logit_scale) times the cosine of picture and prompt, which is PickScore (2305.01569) for the
// weights of PickScore_v1, and the reward of `palate train --preset reward-model` for those that it trained.
#include <torch/types.h>

#include <cmath>
#include <memory>

#include "palate/core/error.h"
#include "palate/judge/judge.h"
#include "palate/pipeline/clip_scorer.h"

namespace palate {
namespace {

class Clip : public Judge {
 public:
  explicit Clip(const std::string& folder) : folder_(folder), scorer_(folder) {}

  std::string name() const override { return "clip:" + folder_; }
  std::string identity() const override {
    if (identity_.empty()) identity_ = concat("CLIPModel, exp(logit_scale) cos, version 1, ", scorer_.hash());
    return identity_;
  }
  void require(int64_t, int64_t, const std::vector<std::string>&) const override {}  // any size, any text

  Scores score(const Tensor& pictures, const std::vector<std::string>& prompts) override {
    const torch::NoGradGuard no_grad;
    const auto count = static_cast<int64_t>(prompts.size());
    check(pictures.dim() == 4 && pictures.size(0) == count, "[", name(), "] expected ", count, " pictures, one a prompt, got ",
          show_shape(pictures.sizes()));
    std::vector<Tensor> fitted;
    for (const Tensor& picture : pictures.unbind()) fitted.push_back(scorer_.images().fit(picture));
    const Tensor total = scorer_.scores(torch::stack(fitted), scorer_.ids(prompts)).to(torch::kFloat64);
    for (int64_t i = 0; i < count; ++i) {
      check(std::isfinite(total[i].item<double>()), "[", name(), "] the score of a picture of \"", prompts[static_cast<size_t>(i)],
            "\" is not a finite number: the weights of ", folder_, " are damaged, train or fetch them again");
    }
    return {total, {}};
  }

 private:
  std::string folder_;
  ClipScorer scorer_;
  mutable std::string identity_;  // reading the weights once more takes seconds, so when it is asked for first
};

}  // namespace

std::unique_ptr<Judge> make_clip(const std::string& folder) { return std::make_unique<Clip>(folder); }

}  // namespace palate
