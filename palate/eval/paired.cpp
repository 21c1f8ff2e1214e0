#include "palate/eval/paired.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <tuple>

#include "palate/core/error.h"
#include "palate/io/image.h"
#include "palate/io/sample_folder.h"

namespace palate {
namespace {

// Gains grouped by prompt, without the pictures whose score is NaN on either side.
std::vector<std::vector<double>> grouped(const Tensor& base, const Tensor& ours, const std::vector<std::string>& prompts) {
  std::map<std::string, std::vector<double>> by_prompt;
  const double* a = base.const_data_ptr<double>();
  const double* b = ours.const_data_ptr<double>();
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (!std::isnan(a[i]) && !std::isnan(b[i])) by_prompt[prompts[i]].push_back(b[i] - a[i]);
  }
  std::vector<std::vector<double>> gains;
  for (auto& [prompt, values] : by_prompt) gains.push_back(std::move(values));
  return gains;
}

// What two pictures that stand beside each other have in common; the last number counts pictures that agree in the others.
using PairKey = std::tuple<std::string, std::optional<uint64_t>, std::optional<uint64_t>, int64_t>;

std::vector<PairKey> keys_of(const PictureSet& set, bool by_noise) {
  std::map<PairKey, int64_t> seen;
  std::vector<PairKey> keys;
  for (const auto& entry : set.entries) {
    PairKey key{entry.prompt, by_noise ? entry.seed : std::nullopt, by_noise ? entry.id : std::nullopt, 0};
    const int64_t before = seen[key]++;
    std::get<3>(key) = before;
    keys.push_back(std::move(key));
  }
  return keys;
}

bool knows_noise(const PictureSet& set) {
  for (const auto& entry : set.entries) {
    if (!entry.seed || !entry.id) return false;
  }
  return true;
}

std::string shown(const PictureSet& set, size_t at) {
  const ManifestEntry& entry = set.entries[at];
  return concat(set.file(at).string(), " (\"", entry.prompt, "\"", entry.seed ? concat(", seed ", *entry.seed) : "",
                entry.id ? concat(", id ", *entry.id) : "", ")");
}

}  // namespace

void require_all(const Judges& judges, Pipeline& pipeline, const std::vector<GenerateRequest>& requests, const GenerateOptions& options) {
  const int64_t side = pipeline.sample_size() * pipeline.factor();
  require_all(judges, options.height > 0 ? options.height : side, options.width > 0 ? options.width : side, prompts_of(requests));
}

Side draw_side(const std::string& name, Pipeline& pipeline, const std::vector<GenerateRequest>& requests, const GenerateOptions& options,
               const Judges& judges, const std::filesystem::path& folder) {
  std::vector<ManifestEntry> entries;
  for (const auto& request : requests) entries.push_back({.image = "", .prompt = request.prompt, .id = request.id, .seed = options.seed});
  SampleFolder drawn(folder, std::move(entries), Json::object(), Existing::refused);
  ScoreTable table(judges);
  pipeline.generate_each(requests, options, [&](size_t first, const Tensor& latents) {
    const Tensor pictures = from_unit(pipeline.decode(latents).cpu());
    std::vector<std::string> prompts;
    for (int64_t i = 0; i < pictures.size(0); ++i) {
      const size_t number = first + static_cast<size_t>(i);
      drawn.add(number, pictures[i]);
      prompts.push_back(requests[number].prompt);
    }
    table.add(pictures, prompts);
  });
  return {name, drawn.pictures(), table.scores()};
}

std::pair<PictureSet, PictureSet> paired(const PictureSet& base, const PictureSet& ours) {
  const bool by_noise = knows_noise(base) && knows_noise(ours);
  const auto base_keys = keys_of(base, by_noise), our_keys = keys_of(ours, by_noise);
  std::map<PairKey, size_t> partner;
  for (size_t i = 0; i < our_keys.size(); ++i) partner[our_keys[i]] = i;
  std::pair<PictureSet, PictureSet> both{{base.folder, {}}, {ours.folder, {}}};
  const auto refuse = [](const PictureSet& set, size_t at, const PictureSet& other) {
    fail<UsageError>(shown(set, at), " has no partner among the ", other.entries.size(), " pictures of ", other.folder.string(),
                     ": expected the same prompts, seeds and counts on both sides");
  };
  for (size_t i = 0; i < base_keys.size(); ++i) {
    const auto at = partner.find(base_keys[i]);
    if (at == partner.end()) refuse(base, i, ours);
    both.first.entries.push_back(base.entries[i]);
    both.second.entries.push_back(ours.entries[at->second]);
    partner.erase(at);
  }
  const auto first = std::min_element(partner.begin(), partner.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  if (first != partner.end()) refuse(ours, first->second, base);
  return both;
}

Comparison compare(const Scores& base, const Scores& ours, const std::vector<std::string>& prompts, double tie_margin, uint64_t seed) {
  const auto n = static_cast<int64_t>(prompts.size());
  check(base.total.numel() == n && ours.total.numel() == n, "[compare] expected ", n, " scores on each side, got ", base.total.numel(),
        " and ", ours.total.numel());
  Comparison result;
  const auto gains = grouped(base.total, ours.total, prompts);
  result.win_rate = win_rate(gains, tie_margin, seed);
  result.gain = mean_gain(gains, seed);
  for (const auto& [name, scores] : ours.parts) {
    const auto part = grouped(base.parts.at(name), scores, prompts);
    if (!part.empty()) result.part_gain[name] = mean_gain(part, seed);
  }
  const Tensor difference = (ours.total - base.total).contiguous();
  result.gains.assign(difference.const_data_ptr<double>(), difference.const_data_ptr<double>() + n);
  return result;
}

Json to_json(const Comparison& comparison) {
  Json parts = Json::object();
  for (const auto& [name, gain] : comparison.part_gain) parts[name] = to_json(gain);
  return {{"judge", comparison.judge},        {"base", comparison.base},
          {"ours", comparison.ours},          {"win_rate", to_json(comparison.win_rate)},
          {"gain", to_json(comparison.gain)}, {"part_gain", parts}};
}

}  // namespace palate
