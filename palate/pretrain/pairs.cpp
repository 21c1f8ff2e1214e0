#include "palate/pretrain/pairs.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "palate/core/clock.h"
#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/data/pick_a_pic_writer.h"
#include "palate/eval/paired.h"
#include "palate/io/image.h"
#include "palate/world/prompts.h"

namespace palate::world {
namespace {

double gumbel(Generator& generator) { return -std::log(-std::log(std::max(generator.uniform(), 1e-300))); }

struct Tally {
  int64_t pairs = 0, skipped = 0, agree = 0;
  double gap = 0;
};

// The person's choice among the pictures of one prompt; false when they seem alike.
bool choose(const double* rewards, const PairOptions& options, Generator& generator, int64_t& best, int64_t& worst) {
  std::vector<double> perceived;
  for (int64_t k = 0; k < options.pictures; ++k) perceived.push_back(rewards[k] + options.noise * gumbel(generator));
  best = std::max_element(perceived.begin(), perceived.end()) - perceived.begin();
  worst = std::min_element(perceived.begin(), perceived.end()) - perceived.begin();
  return perceived[static_cast<size_t>(best)] - perceived[static_cast<size_t>(worst)] >= options.min_gap;
}

Tally write_pairs(const Tensor& images, const Tensor& rewards, const std::vector<std::string>& prompts, const std::string& model,
                  const PairOptions& options, PickAPicWriter& out) {
  Tally tally;
  const double* reward = rewards.data_ptr<double>();
  for (size_t p = 0; p < prompts.size(); ++p) {
    const uint64_t id = stable_hash(prompts[p]), key = mix(options.seed, id);
    Generator generator({options.seed, id, 0, Purpose::label});
    const int64_t first = static_cast<int64_t>(p) * options.pictures;
    int64_t best = 0, worst = 0;
    if (!choose(reward + first, options, generator, best, worst)) {
      ++tally.skipped;
      continue;
    }
    const double gap = reward[first + best] - reward[first + worst];
    tally.gap += gap;
    tally.agree += gap > 0;
    ++tally.pairs;
    PickAPicRow row{prompts[p], model, {encode_png(images[first + best]), encode_png(images[first + worst])}, {}, 0};
    row.uids = {uuid(mix(key, 1), mix(key, 2)), uuid(mix(key, 3), mix(key, 4))};
    if (generator.below(2) != 0) {  // which side the winner stands on
      std::swap(row.pictures[0], row.pictures[1]);
      row.better = 1;
    }
    out.add(row);
  }
  return tally;
}

}  // namespace

Json make_pairs(Pipeline& base, const PairOptions& options, const std::filesystem::path& file) {
  check<UsageError>(options.pictures >= 2, "pairs: expected at least 2 pictures a prompt, got ", options.pictures);
  check<UsageError>(options.prompts >= 1, "pairs: expected at least 1 prompt, got ", options.prompts);
  const auto began = Clock::now();
  const auto chosen = prompts(Split::train, world::Kind::mixed, options.prompts, options.seed);
  const auto requests = paired_requests(chosen, options.pictures);
  GenerateOptions sampling;
  sampling.steps = options.steps;
  sampling.guidance_scale = options.guidance_scale;
  sampling.seed = options.seed;
  sampling.batch = options.batch;
  sampling.title = "sampling pairs";
  const Judges judges = make_judges({"oracle"});
  require_all(judges, base, requests, sampling);
  const Tensor images = base.generate(requests, sampling);
  const Scores scores = judges[0]->score(images, prompts_of(requests));

  PickAPicWriter out(file);
  const Tally tally = write_pairs(images, scores.total, chosen, base.folder().filename().string(), options, out);
  check<DataError>(tally.pairs > 0, "pairs: no two pictures of any prompt differ by ", options.min_gap, " or more: lower the gap");
  out.commit();
  const auto pairs = static_cast<double>(tally.pairs);
  return {{"pairs", tally.pairs},
          {"skipped", tally.skipped},
          {"agreement", static_cast<double>(tally.agree) / pairs},
          {"mean_gap", tally.gap / pairs},
          {"mean_reward", scores.total.mean().item<double>()},
          {"mean_acc", scores.parts.at("acc").mean().item<double>()},
          {"mean_appeal", scores.parts.at("appeal").mean().item<double>()},
          {"seconds", seconds_since(began)}};
}

}  // namespace palate::world
