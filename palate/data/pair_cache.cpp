#include "palate/data/pair_cache.h"

#include <ATen/Parallel.h>
#include <torch/types.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <unordered_map>

#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/core/hash.h"
#include "palate/core/log.h"
#include "palate/data/cache_build.h"
#include "palate/data/content_hash.h"
#include "palate/data/split.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

// A posterior whose largest standard deviation is below this is a codec without noise (logvar at its floor): the noise
// would vanish in float32's rounding, so none is drawn.
constexpr double kSmallestStd = 1e-6;

// Where one row's numbers lie in the mapped files.
struct RowPlace {
  uint64_t id;
  float preference, weight;
  int64_t repeats, bucket;
  std::vector<int64_t> prompts;                            // the caption, and what takes turns with it
  const float *win_mean, *win_std, *lose_mean, *lose_std;  // [V, C, h, w]; lose: null for a single picture
  const float* time_ids;                                   // [V, 6]; null for models without
};

using Numbers = std::unordered_map<std::string, int64_t>;  // of prompts

// One of a condition's tensors for all prompts: mapped shards, and a pointer to each prompt's row.
struct PromptStates {
  std::vector<Tensor> shards;  // keep the mappings alive
  std::vector<const char*> rows;

  void add(const Tensor& shard) {
    shards.push_back(shard);
    const auto bytes = static_cast<int64_t>(shard.nbytes()) / shard.size(0);
    for (int64_t i = 0; i < shard.size(0); ++i) rows.push_back(static_cast<const char*>(shard.data_ptr()) + i * bytes);
  }

  Tensor gather(const std::vector<int64_t>& prompts) const {
    if (shards.empty()) return {};
    std::vector<int64_t> sizes = shards[0].sizes().vec();
    sizes[0] = static_cast<int64_t>(prompts.size());
    Tensor out = torch::empty(sizes, shards[0].options());
    const auto bytes = static_cast<size_t>(out.nbytes()) / prompts.size();
    char* to = static_cast<char*>(out.data_ptr());
    for (const int64_t prompt : prompts) {
      std::memcpy(to, rows[static_cast<size_t>(prompt)], bytes);
      to += bytes;
    }
    return out;
  }
};

}  // namespace

struct PairCache::State {
  std::string key;
  float scale = 1;
  bool noisy = false;
  RowCounts counts;
  int64_t variants = 0;
  std::vector<std::vector<int64_t>> shapes;  // of each bucket's latents: C, h, w
  std::vector<Tensor> mapped;                // keep the mappings alive
  std::vector<RowPlace> rows;
  std::vector<std::string> prompts;
  PromptStates text, text_embeds;
  std::vector<int64_t> train, held_out;

  void load(const fs::path& folder, const CacheManifest& manifest);
  void load_text(const SafetensorsFile& file);
  void load_pairs(const SafetensorsFile& file, const Numbers& numbers);
  void load_bucket(const SafetensorsFile& file, const std::string& bucket, const std::vector<const CachedRow*>& part,
                   RowPlace* const* places);
  Tensor load_latents(const SafetensorsFile& file, const std::string& name, size_t count);
  int64_t bucket_of(const std::vector<int64_t>& shape);
  void split(double share, uint64_t seed);
  int64_t values(const RowPlace& row) const;
  int64_t variant(const RowPlace& row, uint64_t draw, const Options& options) const;
  int64_t wording(const RowPlace& row, uint64_t draw, const Options& options) const;
  Tensor time_ids(const std::vector<int64_t>& numbers, const std::vector<uint64_t>& draws,
                  const Options& options) const;  // [B, 6] or undefined
  void draw_latents(const float* mean, const float* std, int64_t count, Generator* noise, float* out) const;
  void draw_row(const RowPlace& row, uint64_t draw, const Options& options, float* win, float* lose) const;
};

void PairCache::State::load(const fs::path& folder, const CacheManifest& manifest) {
  key = manifest.key;
  scale = static_cast<float>(manifest.scaling_factor);
  counts = manifest.counts;
  for (const auto& file : manifest.text_shards) load_text(SafetensorsFile(folder / file.name));
  Numbers numbers;
  for (size_t i = 0; i < prompts.size(); ++i) numbers[prompts[i]] = static_cast<int64_t>(i);
  for (const auto& file : manifest.pair_shards) load_pairs(SafetensorsFile(folder / file.name), numbers);
}

void PairCache::State::load_text(const SafetensorsFile& file) {
  const auto part = text_shard_prompts(file, key);
  prompts.insert(prompts.end(), part.begin(), part.end());
  text.add(file.tensor("text"));
  if (file.contains("text_embeds")) text_embeds.add(file.tensor("text_embeds"));
  check<FormatError>(text.rows.size() == prompts.size(), file.path().string(), ": holds text states of ", text.rows.size(),
                     " prompts, expected ", prompts.size());
}

int64_t PairCache::State::bucket_of(const std::vector<int64_t>& shape) {
  const auto number = std::find(shapes.begin(), shapes.end(), shape) - shapes.begin();
  if (number == static_cast<int64_t>(shapes.size())) shapes.push_back(shape);
  return number;
}

// [count, V, C, h, w] of one bucket.
Tensor PairCache::State::load_latents(const SafetensorsFile& file, const std::string& name, size_t count) {
  const Tensor tensor = file.tensor(name);
  check<FormatError>(tensor.dim() == 5 && tensor.scalar_type() == torch::kFloat && tensor.size(0) == static_cast<int64_t>(count),
                     file.path().string(), ": ", name, " has shape ", show_shape(tensor.sizes()), ", expected [", count, ", V, C, h, w]");
  if (variants == 0) variants = tensor.size(1);
  check<FormatError>(variants == tensor.size(1), file.path().string(), ": ", name, " has shape ", show_shape(tensor.sizes()),
                     ", unlike the shards before it");
  mapped.push_back(tensor);
  return tensor;
}

void PairCache::State::load_bucket(const SafetensorsFile& file, const std::string& bucket, const std::vector<const CachedRow*>& part,
                                   RowPlace* const* places) {
  const bool single = !file.contains("lose_mean" + bucket);
  const float* starts[4] = {};
  std::vector<int64_t> shape;
  const char* names[4] = {"win_mean", "win_std", "lose_mean", "lose_std"};
  for (int i = 0; i < (single ? 2 : 4); ++i) {
    const Tensor tensor = load_latents(file, names[i] + bucket, part.size());
    const std::vector<int64_t> found(tensor.sizes().begin() + 2, tensor.sizes().end());
    if (i == 0) shape = found;
    check<FormatError>(shape == found && (!bucket.empty() || shapes.empty() || shapes[0] == found), file.path().string(), ": ", names[i],
                       bucket, " has shape ", show_shape(tensor.sizes()), ", unlike the tensors before it");
    starts[i] = tensor.data_ptr<float>();
  }
  const float* time_ids = nullptr;
  if (file.contains("time_ids" + bucket)) {
    const Tensor tensor = file.tensor("time_ids" + bucket);
    const std::vector<int64_t> expected = {static_cast<int64_t>(part.size()), variants, 6};
    check<FormatError>(tensor.sizes() == expected && tensor.scalar_type() == torch::kFloat, file.path().string(), ": time_ids has shape ",
                       show_shape(tensor.sizes()), ", expected ", show_shape(expected));
    mapped.push_back(tensor);
    time_ids = tensor.data_ptr<float>();
  }
  const int64_t number = bucket_of(shape), stride = variants * shape[0] * shape[1] * shape[2];
  for (size_t i = 0; i < part.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    RowPlace& place = *places[i];
    place.bucket = number;
    place.win_mean = starts[0] + at * stride, place.win_std = starts[1] + at * stride;
    if (!single) place.lose_mean = starts[2] + at * stride, place.lose_std = starts[3] + at * stride;
    if (time_ids) place.time_ids = time_ids + at * variants * 6;
  }
}

void PairCache::State::load_pairs(const SafetensorsFile& file, const Numbers& numbers) {
  const ShardInfo info = pair_shard_info(file, key);
  noisy = noisy || info.largest_std > kSmallestStd;
  const size_t first = rows.size();
  std::map<std::string, std::pair<std::vector<const CachedRow*>, std::vector<size_t>>> buckets;
  for (const CachedRow& row : info.rows) {
    RowPlace place{
        row.id, static_cast<float>(row.preference), static_cast<float>(row.weight), row.repeats, 0, {}, nullptr, nullptr, nullptr, nullptr,
        nullptr};
    std::vector<std::string> texts = {row.prompt};
    texts.insert(texts.end(), row.wordings.begin(), row.wordings.end());
    for (const std::string& caption : texts) {
      const auto prompt = numbers.find(caption);
      check<FormatError>(prompt != numbers.end(), file.path().string(), ": the text states of '", caption, "' are missing");
      place.prompts.push_back(prompt->second);
    }
    auto& [part, at] = buckets[row.bucket];
    part.push_back(&row);
    at.push_back(rows.size() - first);
    rows.push_back(std::move(place));
  }
  for (const auto& [bucket, found] : buckets) {
    std::vector<RowPlace*> places;
    for (const size_t at : found.second) places.push_back(&rows[first + at]);
    load_bucket(file, bucket, found.first, places.data());
  }
}

void PairCache::State::split(double share, uint64_t seed) {
  std::vector<std::string> captions;  // no wordings, and not the empty prompt, which is kept for caption dropout
  std::vector<size_t> place(prompts.size(), SIZE_MAX);
  for (const RowPlace& row : rows) {
    size_t& at = place[static_cast<size_t>(row.prompts[0])];
    if (at != SIZE_MAX) continue;
    at = captions.size();
    captions.push_back(prompts[static_cast<size_t>(row.prompts[0])]);
  }
  const auto held = hold_out(captions, share, seed);
  for (size_t i = 0; i < rows.size(); ++i) {
    (held[place[static_cast<size_t>(rows[i].prompts[0])]] ? held_out : train).push_back(static_cast<int64_t>(i));
  }
}

int64_t PairCache::State::values(const RowPlace& row) const {
  const auto& shape = shapes[static_cast<size_t>(row.bucket)];
  return shape[0] * shape[1] * shape[2];
}

void PairCache::State::draw_latents(const float* mean, const float* std, int64_t count, Generator* noise, float* out) const {
  if (!noise) {
    for (int64_t i = 0; i < count; ++i) out[i] = mean[i] * scale;
    return;
  }
  for (int64_t i = 0; i < count; ++i) out[i] = (mean[i] + std[i] * static_cast<float>(noise->normal())) * scale;
}

int64_t PairCache::State::variant(const RowPlace& row, uint64_t draw, const Options& options) const {
  return options.augment && variants > 1 ? static_cast<int64_t>((mix(options.seed, row.id) + draw) % static_cast<uint64_t>(variants)) : 0;
}

// Wordings take turns too, each for as many draws as there are variants, so that every wording meets every variant.
int64_t PairCache::State::wording(const RowPlace& row, uint64_t draw, const Options& options) const {
  return options.augment && row.prompts.size() > 1
             ? static_cast<int64_t>((mix(options.seed, row.id) + draw) / static_cast<uint64_t>(variants) % row.prompts.size())
             : 0;
}

// `lose` is null for single pictures.
void PairCache::State::draw_row(const RowPlace& row, uint64_t draw, const Options& options, float* win, float* lose) const {
  const int64_t count = values(row), at = variant(row, draw, options) * count;
  const bool draws = options.augment && noisy;
  Generator win_noise({options.seed, mix(row.id, 1), draw, Purpose::posterior}),
      lose_noise({options.seed, mix(row.id, 2), draw, Purpose::posterior});
  draw_latents(row.win_mean + at, row.win_std + at, count, draws ? &win_noise : nullptr, win);
  if (lose) draw_latents(row.lose_mean + at, row.lose_std + at, count, draws ? &lose_noise : nullptr, lose);
}

Tensor PairCache::State::time_ids(const std::vector<int64_t>& numbers, const std::vector<uint64_t>& draws, const Options& options) const {
  if (rows.empty() || !rows[0].time_ids) return {};
  const Tensor ids = torch::empty({static_cast<int64_t>(numbers.size()), 6}, torch::kFloat);
  for (size_t i = 0; i < numbers.size(); ++i) {
    const RowPlace& row = rows[static_cast<size_t>(numbers[i])];
    std::memcpy(ids.data_ptr<float>() + 6 * i, row.time_ids + 6 * variant(row, draws[i], options), 6 * sizeof(float));
  }
  return ids;
}

PairCache::PairCache(std::unique_ptr<State> state) : state_(std::move(state)) {}
PairCache::~PairCache() = default;
PairCache::PairCache(PairCache&&) noexcept = default;

PairCache PairCache::open(Pipeline& pipeline, const DataConfig& config, const fs::path& folder, uint64_t seed) {
  return open(*pipeline_encoders(pipeline), config, folder, seed);
}

PairCache PairCache::open(Encoders& encoders, const DataConfig& config, const fs::path& folder, uint64_t seed) {
  std::error_code error;
  fs::create_directories(folder, error);
  check<IoError>(!error, folder.string(), ": the folder for caches cannot be made: ", error.message());
  const std::string settings = cache_settings(config, encoders, content_hash(config, folder / "hashes.json"));
  const std::string key = sha256(settings);
  const fs::path place = folder / key;
  const CacheManifest manifest = has_manifest(place) ? load_manifest(place, key) : build_cache({config, encoders, place, key, settings});
  check<DataError>(config.skip_bad || manifest.counts.bad.empty(), manifest.counts.bad.empty() ? "" : manifest.counts.bad[0],
                   " (data.skip_bad = true passes over such rows and counts them)");
  auto state = std::make_unique<State>();
  state->load(place, manifest);
  state->split(config.held_out, seed);
  const RowCounts& counts = state->counts;
  std::string dropped;
  if (counts.ties) dropped += concat(", ", counts.ties, " ties dropped");
  if (counts.duplicates) dropped += concat(", ", counts.duplicates, " duplicates");
  if (counts.unlabelled) dropped += concat(", ", counts.unlabelled, " without a label");
  if (!counts.bad.empty()) dropped += concat(", ", counts.bad.size(), " unreadable");
  if (state->shapes.size() > 1) dropped += concat(", ", state->shapes.size(), " buckets");
  int64_t epoch = 0;
  for (const RowPlace& row : state->rows) epoch += row.repeats;
  if (epoch != static_cast<int64_t>(state->rows.size())) dropped += concat(", ", epoch, " an epoch with repeats");
  const std::string noun = example_noun(config) + "s";
  log("data: ", state->rows.size(), " ", noun, " of ", state->prompts.size() - 1, " prompts, ", state->held_out.size(), " ", noun,
      " held out", dropped);
  return PairCache(std::move(state));
}

const std::vector<int64_t>& PairCache::rows(Split split) const { return split == Split::train ? state_->train : state_->held_out; }
int64_t PairCache::skipped() const { return static_cast<int64_t>(state_->counts.bad.size()); }
int64_t PairCache::dropped_ties() const { return state_->counts.ties; }
int64_t PairCache::duplicates() const { return state_->counts.duplicates; }
int64_t PairCache::unlabelled() const { return state_->counts.unlabelled; }
const std::string& PairCache::key() const { return state_->key; }
const std::string& PairCache::prompt(int64_t row) const {
  return state_->prompts.at(static_cast<size_t>(state_->rows.at(static_cast<size_t>(row)).prompts[0]));
}
uint64_t PairCache::id(int64_t row) const { return state_->rows.at(static_cast<size_t>(row)).id; }
int64_t PairCache::repeats(int64_t row) const { return state_->rows.at(static_cast<size_t>(row)).repeats; }
int64_t PairCache::bucket(int64_t row) const { return state_->rows.at(static_cast<size_t>(row)).bucket; }

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

PairBatch PairCache::batch(const std::vector<int64_t>& rows, const std::vector<uint64_t>& draws, const Options& options) const {
  const State& s = *state_;
  check<UsageError>(!rows.empty() && rows.size() == draws.size(), "[pair cache] batch: expected one draw a row and at least one row, got ",
                    rows.size(), " rows and ", draws.size(), " draws");
  const auto count = static_cast<int64_t>(rows.size());
  PairBatch batch;
  batch.rows = rows;
  for (const int64_t row : rows)
    check<UsageError>(row >= 0 && row < static_cast<int64_t>(s.rows.size()), "[pair cache] batch: expected a row below ", s.rows.size(),
                      ", got ", row);
  const RowPlace& head = s.rows[static_cast<size_t>(rows[0])];
  const auto& shape = s.shapes[static_cast<size_t>(head.bucket)];
  const int64_t values = s.values(head);
  batch.latents_win = torch::empty({count, shape[0], shape[1], shape[2]}, torch::kFloat);
  if (head.lose_mean) batch.latents_lose = torch::empty_like(batch.latents_win);
  batch.preference = torch::empty({count}, torch::kFloat);
  float *win = batch.latents_win.data_ptr<float>(), *lose = head.lose_mean ? batch.latents_lose.data_ptr<float>() : nullptr,
        *preference = batch.preference.data_ptr<float>();
  std::vector<int64_t> prompts;
  for (size_t i = 0; i < rows.size(); ++i) {
    const RowPlace& row = s.rows[static_cast<size_t>(rows[i])];
    check<UsageError>(row.bucket == head.bucket && !row.lose_mean == !head.lose_mean, "[pair cache] batch: rows ", rows[0], " and ",
                      rows[i], " are of different buckets");
    batch.ids.push_back(row.id);
    preference[i] = row.preference;
    batch.weights.push_back(row.weight);
    const bool drop = options.augment && options.caption_dropout > 0 &&
                      Generator({options.seed, row.id, draws[i], Purpose::caption_drop}).uniform() < options.caption_dropout;
    prompts.push_back(drop ? 0 : row.prompts[static_cast<size_t>(s.wording(row, draws[i], options))]);
  }
  for (const int64_t prompt : prompts) batch.prompts.push_back(s.prompts.at(static_cast<size_t>(prompt)));
  // Each row has generators of its own, so threads change no bit. Copies alone are not worth waking them.
  const bool noisy = options.augment && s.noisy;
  at::parallel_for(0, count, noisy ? 1 : 256, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto at = static_cast<size_t>(i);
      s.draw_row(s.rows[static_cast<size_t>(rows[at])], draws[at], options, win + i * values, lose ? lose + i * values : nullptr);
    }
  });
  batch.condition = {s.text.gather(prompts), s.text_embeds.gather(prompts), s.time_ids(rows, draws, options)};
  return batch;
}

}  // namespace palate
