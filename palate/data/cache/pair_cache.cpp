#include "palate/data/cache/pair_cache.h"

#include <ATen/Parallel.h>
#include <torch/types.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/core/hash.h"
#include "palate/core/log.h"
#include "palate/data/cache/cache_build.h"
#include "palate/data/cache/cached_rows.h"
#include "palate/data/cache/content_hash.h"
#include "palate/data/cache/split.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

// A posterior whose largest standard deviation is below this is a codec without noise (logvar at its floor): the noise
// would vanish in float32's rounding, so none is drawn.
constexpr double kSmallestStd = 1e-6;

}  // namespace

struct PairCache::State {
  State(const fs::path& folder, const CacheManifest& manifest) : cached(folder, manifest) {}

  CachedRows cached;
  std::vector<int64_t> train, held_out;

  const RowPlace& row(int64_t number) const { return cached.rows.at(static_cast<size_t>(number)); }
  bool noisy(const Options& options) const { return options.augment && cached.largest_std > kSmallestStd; }
  void split(double share, uint64_t seed);
  int64_t variant(const Visit& visit, const Options& options) const;
  int64_t prompt(const Visit& visit, const Options& options) const;
  Tensor time_ids(const std::vector<Visit>& visits, const Options& options) const;
  void draw_view(const Visit& visit, size_t view, const Options& options, float* out) const;
  void say_rows(Batch& batch) const;
  void say_prompts(Batch& batch, const Options& options) const;
  void report(const DataConfig& config) const;
};

void PairCache::State::split(double share, uint64_t seed) {
  std::vector<std::string> captions;  // no wordings, and not the empty prompt, which is kept for caption dropout
  std::vector<size_t> place(cached.prompts.size(), SIZE_MAX);
  for (const RowPlace& row : cached.rows) {
    size_t& at = place[static_cast<size_t>(row.prompts[0])];
    if (at != SIZE_MAX) continue;
    at = captions.size();
    captions.push_back(cached.prompts[static_cast<size_t>(row.prompts[0])]);
  }
  const auto held = hold_out(captions, share, seed);
  for (size_t i = 0; i < cached.rows.size(); ++i) {
    const RowPlace& row = cached.rows[i];  // those of the class are no examples to be measured on
    (!row.prior && held[place[static_cast<size_t>(row.prompts[0])]] ? held_out : train).push_back(static_cast<int64_t>(i));
  }
}

int64_t PairCache::State::variant(const Visit& visit, const Options& options) const {
  const auto variants = static_cast<uint64_t>(cached.variants);
  return options.augment && variants > 1 ? static_cast<int64_t>((mix(options.seed, visit.id) + visit.draw) % variants) : 0;
}

// The prompt's number: 0, the empty one, where the caption is dropped. Wordings take turns, each for as many draws as there are variants,
// so that every wording meets every variant.
int64_t PairCache::State::prompt(const Visit& visit, const Options& options) const {
  const auto& prompts = row(visit.row).prompts;
  if (!options.augment) return prompts[0];
  Generator dropout({options.seed, visit.id, visit.draw, Purpose::caption_drop});
  if (options.caption_dropout > 0 && dropout.uniform() < options.caption_dropout) return 0;
  if (prompts.size() == 1) return prompts[0];
  return prompts[(mix(options.seed, visit.id) + visit.draw) / static_cast<uint64_t>(cached.variants) % prompts.size()];
}

// [B, 6]; undefined for models without.
Tensor PairCache::State::time_ids(const std::vector<Visit>& visits, const Options& options) const {
  if (!row(visits[0].row).time_ids) return {};
  const Tensor ids = torch::empty({static_cast<int64_t>(visits.size()), 6}, torch::kFloat);
  for (size_t i = 0; i < visits.size(); ++i) {
    const float* own = row(visits[i].row).time_ids + 6 * variant(visits[i], options);
    std::memcpy(ids.data_ptr<float>() + 6 * i, own, 6 * sizeof(float));
  }
  return ids;
}

void PairCache::State::draw_view(const Visit& visit, size_t view, const Options& options, float* out) const {
  const RowPlace& place = row(visit.row);
  const int64_t count = cached.values(place), offset = variant(visit, options) * count;
  const float *mean = place.views[view].mean + offset, *std = place.views[view].std + offset;
  if (!noisy(options)) {
    for (int64_t i = 0; i < count; ++i) out[i] = mean[i] * cached.scale;
    return;
  }
  Generator noise({options.seed, mix(visit.id, view + 1), visit.draw, Purpose::posterior});
  for (int64_t i = 0; i < count; ++i) out[i] = (mean[i] + std[i] * static_cast<float>(noise.normal())) * cached.scale;
}

// What the data says of the batch's rows.
void PairCache::State::say_rows(Batch& batch) const {
  std::vector<float> labels, weights, rewards;
  std::vector<int64_t> prior;
  for (const Visit& visit : batch.visits) {
    const RowPlace& place = row(visit.row);
    labels.push_back(place.label);
    weights.push_back(place.weight);
    rewards.push_back(place.reward);
    prior.push_back(place.prior);
  }
  batch.label = torch::tensor(labels, torch::kFloat);
  batch.weight = torch::tensor(weights, torch::kFloat);
  if (cached.any_prior) batch.prior = torch::tensor(prior).to(torch::kBool);
  if (cached.any_reward) batch.reward = torch::tensor(rewards, torch::kFloat);
}

// Prompts and their states; those of the reference where some row names one of its own.
void PairCache::State::say_prompts(Batch& batch, const Options& options) const {
  const auto text = [&](int64_t number) { return cached.prompts.at(static_cast<size_t>(number)); };
  std::vector<int64_t> own, base;
  for (const Visit& visit : batch.visits) {
    const int64_t asked = row(visit.row).base_prompt;
    own.push_back(prompt(visit, options));
    base.push_back(asked < 0 || own.back() == 0 ? own.back() : asked);  // 0: the caption was dropped, for the reference too
    batch.prompts.push_back(text(own.back()));
  }
  const Tensor ids = time_ids(batch.visits, options);
  batch.condition = cached.states(own);
  batch.condition.set("time_ids", ids);
  if (base == own) return;
  for (const int64_t number : base) batch.base_prompts.push_back(text(number));
  batch.base_condition = cached.states(base);
  batch.base_condition.set("time_ids", ids);
}

void PairCache::State::report(const DataConfig& config) const {
  const RowCounts& counts = cached.counts;
  std::string dropped;
  if (counts.ties) dropped += concat(", ", counts.ties, " ties dropped");
  if (counts.duplicates) dropped += concat(", ", counts.duplicates, " duplicates");
  if (counts.unlabelled) dropped += concat(", ", counts.unlabelled, " without a label");
  if (!counts.bad.empty()) dropped += concat(", ", counts.bad.size(), " unreadable");
  if (cached.shapes.size() > 1) dropped += concat(", ", cached.shapes.size(), " buckets");
  int64_t epoch = 0;
  for (const RowPlace& row : cached.rows) epoch += row.repeats;
  if (epoch != static_cast<int64_t>(cached.rows.size())) dropped += concat(", ", epoch, " an epoch with repeats");
  const std::string noun = example_noun(config) + "s";
  log_info("data: ", cached.rows.size(), " ", noun, " of ", cached.prompts.size() - 1, " prompts, ", held_out.size(), " ", noun,
           " held out", dropped);
}

PairCache::PairCache(std::unique_ptr<State> state) : state_(std::move(state)) {}
PairCache::~PairCache() = default;
PairCache::PairCache(PairCache&&) noexcept = default;

PairCache PairCache::open(Pipeline& pipeline, const DataConfig& config, const fs::path& folder, uint64_t seed) {
  return open(*pipeline_encoders(pipeline), config, folder, seed);
}

PairCache PairCache::open(Encoders& encoders, const DataConfig& config, const fs::path& folder, uint64_t seed) {
  return open(encoders, config, *open_pairs(config), folder, seed);
}

PairCache PairCache::open(Encoders& encoders, const DataConfig& config, PairSource& source, const fs::path& folder, uint64_t seed) {
  std::error_code error;
  fs::create_directories(folder, error);
  check<IoError>(!error, folder.string(), ": the folder for caches cannot be made: ", error.message());
  const std::string settings = cache_settings(config, encoders, content_hash(source, folder / "hashes.json"));
  const std::string key = sha256(settings);
  const fs::path place = folder / key;
  const CacheManifest manifest =
      has_manifest(place) ? load_manifest(place, key) : build_cache({config, source, encoders, place, key, settings});
  check<DataError>(config.skip_bad || manifest.counts.bad.empty(), manifest.counts.bad.empty() ? "" : manifest.counts.bad[0],
                   " (data.skip_bad = true passes over such rows and counts them)");
  auto state = std::make_unique<State>(place, manifest);
  state->split(config.held_out, seed);
  state->report(config);
  return PairCache(std::move(state));
}

const std::vector<int64_t>& PairCache::rows(Split split) const { return split == Split::train ? state_->train : state_->held_out; }
const RowCounts& PairCache::counts() const { return state_->cached.counts; }
const std::string& PairCache::key() const { return state_->cached.key; }
const std::string& PairCache::prompt(int64_t row) const {
  return state_->cached.prompts.at(static_cast<size_t>(state_->row(row).prompts[0]));
}
int64_t PairCache::repeats(int64_t row) const { return state_->row(row).repeats; }
double PairCache::label(int64_t row) const { return state_->row(row).label; }
double PairCache::reward(int64_t row) const { return state_->row(row).reward; }
bool PairCache::prior(int64_t row) const { return state_->row(row).prior; }
int64_t PairCache::bucket(int64_t row) const { return state_->row(row).bucket; }

std::vector<std::vector<int64_t>> PairCache::batches(const std::vector<int64_t>& rows, int64_t size) const {
  std::map<int64_t, std::vector<int64_t>> buckets;
  for (const int64_t row : rows) buckets[bucket(row)].push_back(row);
  std::vector<std::vector<int64_t>> found;
  for (const auto& [number, part] : buckets) {
    for (size_t first = 0; first < part.size(); first += static_cast<size_t>(size)) {
      const size_t end = std::min(part.size(), first + static_cast<size_t>(size));
      found.emplace_back(part.begin() + static_cast<int64_t>(first), part.begin() + static_cast<int64_t>(end));
    }
  }
  return found;
}

std::vector<Visit> PairCache::visits(const std::vector<int64_t>& rows, const std::vector<uint64_t>& numbers, int64_t draws) const {
  check<UsageError>(rows.size() == numbers.size(), "[pair cache] visits: expected one number a row, got ", rows.size(), " rows and ",
                    numbers.size(), " numbers");
  const auto total = static_cast<int64_t>(state_->cached.rows.size());
  std::vector<Visit> visits;
  for (size_t i = 0; i < rows.size(); ++i) {
    check<UsageError>(rows[i] >= 0 && rows[i] < total, "[pair cache] visits: expected a row below ", total, ", got ", rows[i]);
    visits.push_back({.id = state_->row(rows[i]).id,
                      .row = rows[i],
                      .visit = numbers[i],
                      .draw = draws > 0 ? numbers[i] % static_cast<uint64_t>(draws) : numbers[i]});
  }
  return visits;
}

Batch PairCache::batch(const std::vector<Visit>& visits, const Options& options) const {
  const State& s = *state_;
  check<UsageError>(!visits.empty(), "[pair cache] batch: expected at least one row");
  const auto count = static_cast<int64_t>(visits.size());
  const RowPlace& head = s.row(visits[0].row);
  Batch batch;
  batch.views = static_cast<int64_t>(head.views.size());
  batch.visits = visits;
  for (const Visit& visit : visits) {
    const RowPlace& row = s.row(visit.row);
    check<UsageError>(row.bucket == head.bucket && row.views.size() == head.views.size(), "[pair cache] batch: rows ", visits[0].row,
                      " and ", visit.row, " are of different buckets");
  }
  s.say_rows(batch);
  s.say_prompts(batch, options);
  std::vector<int64_t> shape = s.cached.shapes[static_cast<size_t>(head.bucket)];
  shape.insert(shape.begin(), batch.views * count);
  batch.x0 = torch::empty(shape, torch::kFloat);
  const int64_t values = s.cached.values(head);
  auto* x0 = batch.x0.data_ptr<float>();
  // Each row has generators of its own, so threads change no bit. Copies alone are not worth waking them.
  at::parallel_for(0, batch.views * count, s.noisy(options) ? 1 : 512, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      s.draw_view(visits[static_cast<size_t>(i % count)], static_cast<size_t>(i / count), options, x0 + i * values);
    }
  });
  return batch;
}

}  // namespace palate
