#include "palate/world/dataset.h"

#include <torch/types.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "palate/io/atomic_file.h"
#include "palate/io/image.h"
#include "palate/io/picture_grid.h"
#include "palate/world/caption.h"
#include "palate/world/oracle.h"
#include "palate/world/render.h"

namespace palate::world {
namespace fs = std::filesystem;

Json write_scenes(const fs::path& folder, int64_t count, uint64_t seed) {
  constexpr int64_t most_in_sheet = 120;
  fs::create_directories(folder / "scenes");
  LineWriter lines(folder / "scenes" / "metadata.jsonl", false);
  std::vector<Tensor> shown;
  double acc = 0, reward = 0;
  for (int64_t i = 0; i < count; ++i) {
    Generator generator({seed, static_cast<uint64_t>(i), 2, Purpose::world});
    const WebPicture example = web_picture(Odds(), generator);
    const Tensor picture = from_unit(example.picture);
    const Verdict v = verdict(parse_caption(example.caption), to_unit(picture));
    std::array<char, 32> name{};
    std::snprintf(name.data(), name.size(), "%06lld.png", static_cast<long long>(i));
    write_png(folder / "scenes" / name.data(), picture);
    lines.line(
        Json{{"file_name", name.data()}, {"text", example.caption}, {"reward", v.reward}, {"acc", v.acc}, {"appeal", v.appeal}}.dump());
    if (i < most_in_sheet) shown.push_back(picture);
    acc += v.acc;
    reward += v.reward;
  }
  const GridOptions sheet{.columns = 12, .scale = 3, .gap = 6, .margin = 6, .background = {250, 250, 248}};
  write_png(folder / "sheet.png", picture_grid(torch::stack(shown), sheet));
  const auto n = static_cast<double>(count);
  return {{"count", count}, {"mean_acc", acc / n}, {"mean_reward", reward / n}};
}

}  // namespace palate::world
