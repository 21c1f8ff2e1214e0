// The embedded world's oracle as a judge: prompts are captions of that world, the total is its reward.
#include "palate/world/oracle.h"

#include <torch/types.h>

#include <array>
#include <utility>

#include "palate/core/error.h"
#include "palate/io/image.h"
#include "palate/judge/judge.h"
#include "palate/world/caption.h"

namespace palate {
namespace {

using Part = std::pair<const char*, double world::Verdict::*>;
constexpr std::array<Part, 10> parts = {{{"acc", &world::Verdict::acc},
                                         {"strict", &world::Verdict::strict},
                                         {"appeal", &world::Verdict::appeal},
                                         {"iou", &world::Verdict::iou},
                                         {"background", &world::Verdict::background},
                                         {"colour", &world::Verdict::colour},
                                         {"shape", &world::Verdict::shape},
                                         {"size", &world::Verdict::size},
                                         {"relation", &world::Verdict::relation},
                                         {"count", &world::Verdict::count}}};

class Oracle : public Judge {
 public:
  std::string name() const override { return "oracle"; }
  std::string identity() const override {
    return "oracle of the embedded world, version 1";
  }  // a change of world/oracle is another version
  std::optional<double> tie_margin() const override { return 0.1; }

  void require(int64_t height, int64_t width, const std::vector<std::string>& prompts) const override {
    check<UsageError>(height == world::side && width == world::side, "[oracle] expected pictures of the embedded world, ", world::side, "x",
                      world::side, ", found ", width, "x", height, ": choose another judge (palate list judges)");
    for (const auto& prompt : prompts) {
      try {
        world::parse_caption(prompt);
      } catch (const DataError& error) {
        fail<UsageError>("[oracle] ", error.what(), ": choose another judge (palate list judges)");
      }
    }
  }

  Scores score(const Tensor& pictures, const std::vector<std::string>& prompts) override {
    const auto count = static_cast<int64_t>(prompts.size());
    check(pictures.dim() == 4 && pictures.size(0) == count, "[oracle] expected ", count, " pictures, one a prompt, got ",
          show_shape(pictures.sizes()));
    const Tensor values = to_unit(pictures);
    Scores scores;
    scores.total = torch::empty({count}, torch::kDouble);
    for (const auto& [name, member] : parts) scores.parts[name] = torch::empty({count}, torch::kDouble);
    for (int64_t i = 0; i < count; ++i) {
      const world::Verdict v = world::verdict(world::parse_caption(prompts[static_cast<size_t>(i)]), values[i]);
      scores.total[i] = v.reward;
      for (const auto& [name, member] : parts) scores.parts[name][i] = v.*member;
    }
    return scores;
  }
};

}  // namespace

std::unique_ptr<Judge> make_oracle(const std::string&) { return std::make_unique<Oracle>(); }

}  // namespace palate
