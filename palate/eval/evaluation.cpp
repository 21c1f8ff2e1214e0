#include "palate/eval/evaluation.h"

#include <torch/types.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/eval/sheet.h"
#include "palate/io/atomic_file.h"
#include "palate/io/image.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

std::vector<double> to_vector(const Tensor& values) {
  const Tensor flat = values.to(torch::kFloat64).contiguous();
  return {flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel()};
}

Json sampling_json(const GenerateOptions& options) {
  return {{"steps", options.steps},
          {"guidance_scale", options.guidance_scale},
          {"sampler", options.sampler},
          {"negative", options.negative},
          {"seed", options.seed}};
}

// Seen from the evaluation's folder where it lies inside.
std::string place_of(const fs::path& pictures, const fs::path& folder) {
  const fs::path inside = fs::absolute(pictures).lexically_normal().lexically_relative(fs::absolute(folder).lexically_normal());
  return inside.empty() || inside.begin()->string() == ".." ? fs::absolute(pictures).string() : inside.string();
}

Json side_json(const Side& side, const Judges& judges, const fs::path& folder) {
  Json json = {{"name", side.name}, {"folder", place_of(side.pictures.folder, folder)}};
  for (const auto& entry : side.pictures.entries) json["images"].push_back(entry.image);
  for (size_t j = 0; j < judges.size(); ++j) {
    json["means"][judges[j]->name()] = mean_scores(side.scores[j]);
    json["scores"][judges[j]->name()] = to_vector(side.scores[j].total);
  }
  return json;
}

// Those pictures of the set, all of one size, [3, H, W]: resized where they are of another. `size` empty: the first one's.
Tensor read_shown(const PictureSet& pictures, const std::vector<int64_t>& shown, std::vector<int64_t> size = {}) {
  std::vector<Tensor> read;
  for (const int64_t i : shown) {
    Tensor picture = read_image(pictures.file(static_cast<size_t>(i)));
    if (size.empty()) size = picture.sizes().vec();
    if (picture.sizes() != torch::IntArrayRef(size)) picture = resize_image(picture, size[1], size[2], Filter::bilinear);
    read.push_back(picture);
  }
  return torch::stack(read);
}

void write_sheet(const fs::path& file, const PictureSet& base, const PictureSet& ours, const std::vector<double>& all_gains,
                 double tie_margin) {
  const auto shown = spread(all_gains, shown_pairs);
  std::vector<double> gains;
  for (const int64_t i : shown) gains.push_back(all_gains[static_cast<size_t>(i)]);
  const Tensor left = read_shown(base, shown), right = read_shown(ours, shown, left[0].sizes().vec());
  write_png(file, pair_sheet(left, right, gains, tie_margin));
}

}  // namespace

std::vector<Comparison> Evaluation::comparisons() const {
  check(!sides.empty() && !judges.empty(), "[evaluation] expected sides and judges, found ", sides.size(), " and ", judges.size());
  const auto prompts = sides[0].pictures.prompts();
  std::vector<Comparison> all;
  for (size_t j = 0; j < judges.size(); ++j) {
    for (size_t i = 1; i < sides.size(); ++i) {
      Comparison comparison = compare(sides[0].scores[j], sides[i].scores[j], prompts, judges[j]->tie_margin().value_or(0), seed);
      comparison.judge = judges[j]->name();
      comparison.base = sides[0].name;
      comparison.ours = sides[i].name;
      all.push_back(std::move(comparison));
    }
  }
  return all;
}

Json Evaluation::save(const fs::path& folder) const {
  make_folder(folder);
  const auto all = comparisons();
  for (size_t i = 1; i < sides.size(); ++i) {
    write_sheet(folder / ("sheet_" + sides[i].name + ".png"), sides[0].pictures, sides[i].pictures, all[i - 1].gains,
                judges[0]->tie_margin().value_or(0));
  }
  Json json;
  for (const auto& judge : judges) json["judges"].push_back(palate::to_json(*judge));
  json["caution"] = caution;
  json["seed"] = seed;
  json["sampling"] = sampling ? sampling_json(*sampling) : Json();
  json["hashes"] = hashes;
  for (const auto& comparison : all) json["comparisons"].push_back(palate::to_json(comparison));
  for (const auto& side : sides) json["sides"].push_back(side_json(side, judges, folder));
  for (const auto& entry : sides[0].pictures.entries) {
    json["requests"].push_back({{"prompt", entry.prompt}});
    if (entry.id) json["requests"].back()["id"] = *entry.id;
  }
  write_json(folder / "eval.json", json);
  return json;
}

std::string show_comparisons(const Json& evaluation) {
  std::string text;
  const bool several = evaluation.at("judges").size() > 1;
  char line[256];
  for (const auto& comparison : evaluation.at("comparisons")) {
    const auto& rate = comparison.at("win_rate");
    const auto& gain = comparison.at("gain");
    if (several) text += comparison.at("judge").get<std::string>() + ": ";
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
