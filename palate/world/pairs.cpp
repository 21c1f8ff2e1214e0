#include "palate/world/pairs.h"

#include <torch/types.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/io/image.h"
#include "palate/io/parquet.h"
#include "palate/world/oracle_judge.h"
#include "palate/world/prompts.h"

namespace palate::world {
namespace {

using Kind = ParquetWriter::Kind;

const std::vector<ParquetWriter::Column>& columns() {
  static const std::vector<ParquetWriter::Column> all = {{"are_different", Kind::boolean},
                                                         {"best_image_uid", Kind::text},
                                                         {"caption", Kind::text},
                                                         {"created_at", Kind::text},
                                                         {"has_label", Kind::boolean},
                                                         {"image_0_uid", Kind::text},
                                                         {"image_0_url", Kind::text},
                                                         {"image_1_uid", Kind::text},
                                                         {"image_1_url", Kind::text},
                                                         {"jpg_0", Kind::binary},
                                                         {"jpg_1", Kind::binary},
                                                         {"label_0", Kind::number},
                                                         {"label_1", Kind::number},
                                                         {"model_0", Kind::text},
                                                         {"model_1", Kind::text},
                                                         {"ranking_id", Kind::integer},
                                                         {"user_id", Kind::integer},
                                                         {"num_example_per_prompt", Kind::integer},
                                                         {"__index_level_0__", Kind::integer}};
  return all;
}

std::string uid(uint64_t a, uint64_t b) {
  std::array<char, 37> text{};
  std::snprintf(text.data(), text.size(), "%08x-%04x-4%03x-8%03x-%012llx", static_cast<unsigned>(a >> 32),
                static_cast<unsigned>(a >> 16 & 0xFFFF), static_cast<unsigned>(a & 0xFFF), static_cast<unsigned>(b >> 48 & 0xFFF),
                static_cast<unsigned long long>(b & 0xFFFFFFFFFFFFull));
  return text.data();
}

struct Choice {
  std::string prompt, model;
  Tensor win, lose;  // uint8 [3, 32, 32]
  int64_t row = 0;
  uint64_t key = 0;
  bool winner_first = true;
};

void write_row(ParquetWriter& out, const Choice& c) {
  const std::array<std::string, 2> uids = {uid(mix(c.key, 1), mix(c.key, 2)), uid(mix(c.key, 3), mix(c.key, 4))};
  const auto text = [&](size_t column, std::string_view value) { out.text(column, value); };
  const auto number = [&](size_t column, double value) { out.number(column, value); };
  const Tensor &first = c.winner_first ? c.win : c.lose, &second = c.winner_first ? c.lose : c.win;
  number(0, 1);
  text(1, uids[c.winner_first ? 0 : 1]);
  text(2, c.prompt);
  text(3, "2000-01-01T00:00:00");  // one moment for all, so that the file depends on the seed alone
  number(4, 1);
  text(5, uids[0]);
  text(6, "");
  text(7, uids[1]);
  text(8, "");
  text(9, encode_png(first));
  text(10, encode_png(second));
  number(11, c.winner_first ? 1 : 0);
  number(12, c.winner_first ? 0 : 1);
  text(13, c.model);
  text(14, c.model);
  for (const size_t column : {size_t{15}, size_t{18}}) number(column, static_cast<double>(c.row));
  number(16, 0);
  number(17, 1);
  out.end_row();
}

double gumbel(Generator& generator) { return -std::log(-std::log(std::max(generator.uniform(), 1e-300))); }

std::vector<GenerateRequest> requests_of(const std::vector<std::string>& prompts, int64_t pictures) {
  std::vector<GenerateRequest> requests;
  for (const auto& prompt : prompts) {
    for (int64_t k = 0; k < pictures; ++k) requests.push_back({prompt, mix(stable_hash(prompt), static_cast<uint64_t>(k))});
  }
  return requests;
}

std::vector<std::string> prompts_of(const std::vector<GenerateRequest>& requests) {
  std::vector<std::string> prompts;
  for (const auto& request : requests) prompts.push_back(request.prompt);
  return prompts;
}

struct Tally {
  int64_t pairs = 0, skipped = 0, agree = 0;
  double gap = 0;
};

// The person's choice among the pictures of one prompt; nullopt-like: returns false when they seem alike.
bool choose(const double* rewards, const PairOptions& options, Generator& generator, int64_t& best, int64_t& worst) {
  std::vector<double> perceived;
  for (int64_t k = 0; k < options.pictures; ++k) perceived.push_back(rewards[k] + options.noise * gumbel(generator));
  best = std::max_element(perceived.begin(), perceived.end()) - perceived.begin();
  worst = std::min_element(perceived.begin(), perceived.end()) - perceived.begin();
  return perceived[static_cast<size_t>(best)] - perceived[static_cast<size_t>(worst)] >= options.min_gap;
}

Tally write_pairs(const Tensor& images, const Tensor& rewards, const std::vector<std::string>& prompts, const std::string& model,
                  const PairOptions& options, ParquetWriter& out) {
  Tally tally;
  const double* reward = rewards.data_ptr<double>();
  for (size_t p = 0; p < prompts.size(); ++p) {
    const uint64_t id = stable_hash(prompts[p]);
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
    write_row(out, {prompts[p], model, images[first + best], images[first + worst], tally.pairs++, mix(options.seed, id),
                    generator.below(2) == 0});
  }
  return tally;
}

}  // namespace

Json make_pairs(Pipeline& base, const PairOptions& options, const std::filesystem::path& file) {
  check<UsageError>(options.pictures >= 2, "pairs: expected at least 2 pictures a prompt, got ", options.pictures);
  check<UsageError>(options.prompts >= 1, "pairs: expected at least 1 prompt, got ", options.prompts);
  const auto began = std::chrono::steady_clock::now();
  const auto chosen = prompts(Split::train, world::Kind::mixed, options.prompts, options.seed);
  const auto requests = requests_of(chosen, options.pictures);
  GenerateOptions sampling;
  sampling.steps = options.steps;
  sampling.guidance_scale = options.guidance_scale;
  sampling.seed = options.seed;
  sampling.batch = options.batch;
  sampling.title = "sampling pairs";
  const Tensor images = base.generate(requests, sampling);
  const Scores scores = OracleJudge().score(images, prompts_of(requests));

  ParquetWriter out(file, columns());
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
          {"seconds", std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count()}};
}

}  // namespace palate::world
