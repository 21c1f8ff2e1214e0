#include "palate/world/oracle_judge.h"

#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/io/image.h"
#include "palate/world/caption.h"

namespace palate::world {

std::vector<std::pair<std::string, double>> parts(const Verdict& v) {
  return {{"acc", v.acc},       {"strict", v.strict}, {"appeal", v.appeal}, {"iou", v.iou},           {"background", v.background},
          {"colour", v.colour}, {"shape", v.shape},   {"size", v.size},     {"relation", v.relation}, {"count", v.count}};
}

Scores OracleJudge::score(const Tensor& images, const std::vector<std::string>& prompts) {
  const auto count = static_cast<int64_t>(prompts.size());
  check(images.dim() == 4 && images.size(0) == count, "[oracle] expected ", count, " pictures, one a prompt, got ",
        show_shape(images.sizes()));
  const Tensor pictures = to_unit(images);
  Scores scores;
  scores.total = torch::empty({count}, torch::kDouble);
  for (int64_t i = 0; i < count; ++i) {
    const Verdict v = verdict(parse_caption(prompts[static_cast<size_t>(i)]), pictures[i]);
    scores.total[i] = v.reward;
    for (const auto& [name, value] : parts(v)) {
      Tensor& column = scores.parts[name];
      if (!column.defined()) column = torch::empty({count}, torch::kDouble);
      column[i] = value;
    }
  }
  return scores;
}

}  // namespace palate::world
