#include "palate/eval/evaluation.h"

#include <torch/types.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/eval/sheet.h"
#include "palate/io/image.h"

namespace palate {
namespace {

constexpr int64_t shown_pairs = 30;

std::vector<double> to_vector(const Tensor& values) {
  const Tensor flat = values.to(torch::kFloat64).contiguous();
  return {flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel()};
}

// Pictures side by side without gaps or magnification, so that each can be cut out again.
Tensor strip(const Tensor& images) {
  const int64_t n = images.size(0), h = images.size(2), w = images.size(3);
  Tensor sheet = torch::zeros({3, (n + strip_columns - 1) / strip_columns * h, strip_columns * w}, torch::kUInt8);
  for (int64_t i = 0; i < n; ++i) {
    sheet.narrow(1, i / strip_columns * h, h).narrow(2, i % strip_columns * w, w).copy_(images[i]);
  }
  return sheet;
}

Json sampling_json(const GenerateOptions& options) {
  return {{"steps", options.steps},
          {"guidance_scale", options.guidance_scale},
          {"sampler", options.sampler},
          {"negative", options.negative},
          {"seed", options.seed}};
}

}  // namespace

std::vector<Comparison> Evaluation::comparisons() const {
  check(!sides.empty(), "[evaluation] there are no sides to compare");
  std::vector<Comparison> all;
  for (size_t i = 1; i < sides.size(); ++i) all.push_back(compare(sides[0], sides[i], requests, tie_margin, seed));
  return all;
}

Json Evaluation::to_json() const {
  Json json = {{"judge", judge}, {"caution", caution}, {"tie_margin", tie_margin}, {"seed", seed}, {"sampling", sampling_json(sampling)}};
  json["image_size"] = {sides.at(0).images.size(2), sides.at(0).images.size(3)};
  json["strip_columns"] = strip_columns;
  json["hashes"] = hashes;
  for (const auto& comparison : comparisons()) json["comparisons"].push_back(palate::to_json(comparison));
  for (const auto& side : sides) {
    json["sides"].push_back({{"name", side.name}, {"means", mean_scores(side)}, {"scores", to_vector(side.scores.total)}});
  }
  for (const auto& request : requests) json["requests"].push_back({{"prompt", request.prompt}, {"id", request.id}});
  return json;
}

void Evaluation::save(const std::filesystem::path& folder) const {
  std::filesystem::create_directories(folder);
  for (const auto& side : sides) write_png(folder / (side.name + ".png"), strip(side.images));
  const auto all = comparisons();
  for (size_t i = 0; i < all.size(); ++i) {
    const auto shown = spread(all[i].gains, shown_pairs);
    const Tensor index = torch::tensor(shown);
    std::vector<double> gains;
    for (const int64_t k : shown) gains.push_back(all[i].gains[static_cast<size_t>(k)]);
    write_png(folder / ("sheet_" + sides[i + 1].name + ".png"),
              pair_sheet(sides[0].images.index_select(0, index), sides[i + 1].images.index_select(0, index), gains, tie_margin));
  }
  write_json(folder / "eval.json", to_json());
}

std::string show_comparisons(const Json& evaluation) {
  std::string text;
  char line[256];
  for (const auto& comparison : evaluation.at("comparisons")) {
    const auto& rate = comparison.at("win_rate");
    const auto& gain = comparison.at("gain");
    std::snprintf(line, sizeof line,
                  "%-10s against %-8s win rate %5.1f%% [%.1f, %.1f]  (wins %.1f, ties %.1f, losses %.1f; %ld prompts)  mean gain %+.3f "
                  "[%+.3f, %+.3f]\n",
                  comparison.at("ours").get<std::string>().c_str(), comparison.at("base").get<std::string>().c_str(),
                  100 * rate.at("rate").get<double>(), 100 * rate.at("low").get<double>(), 100 * rate.at("high").get<double>(),
                  100 * rate.at("win").get<double>(), 100 * rate.at("tie").get<double>(), 100 * rate.at("lose").get<double>(),
                  static_cast<long>(rate.at("n").get<int64_t>()), gain.at("mean").get<double>(), gain.at("low").get<double>(),
                  gain.at("high").get<double>());
    text += line;
  }
  return text;
}

}  // namespace palate
