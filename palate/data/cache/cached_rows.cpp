#include "palate/data/cache/cached_rows.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "palate/core/error.h"

namespace palate {
namespace fs = std::filesystem;

CachedRows::CachedRows(const fs::path& folder, const CacheManifest& manifest)
    : key(manifest.key), counts(manifest.counts), scale(static_cast<float>(manifest.scaling_factor)) {
  for (const auto& file : manifest.text_shards) load_text(SafetensorsFile(folder / file.name));
  Numbers numbers;
  for (size_t i = 0; i < prompts.size(); ++i) numbers[prompts[i]] = static_cast<int64_t>(i);
  for (const auto& file : manifest.pair_shards) load_rows(SafetensorsFile(folder / file.name), numbers);
}

int64_t CachedRows::values(const RowPlace& row) const { return c10::multiply_integers(shapes[static_cast<size_t>(row.bucket)]); }

void CachedRows::Field::add(const Tensor& shard) {
  shards.push_back(shard);
  const auto bytes = static_cast<int64_t>(shard.nbytes()) / shard.size(0);
  for (int64_t i = 0; i < shard.size(0); ++i) rows.push_back(static_cast<const char*>(shard.data_ptr()) + i * bytes);
}

Tensor CachedRows::Field::gather(const std::vector<int64_t>& numbers) const {
  std::vector<int64_t> sizes = shards[0].sizes().vec();
  sizes[0] = static_cast<int64_t>(numbers.size());
  Tensor out = torch::empty(sizes, shards[0].options());
  const auto bytes = static_cast<size_t>(out.nbytes()) / numbers.size();
  char* to = static_cast<char*>(out.data_ptr());
  for (const int64_t number : numbers) {
    std::memcpy(to, rows[static_cast<size_t>(number)], bytes);
    to += bytes;
  }
  return out;
}

Condition CachedRows::states(const std::vector<int64_t>& numbers) const {
  Condition states;
  for (const auto& [name, field] : fields_) states.set(name, field.gather(numbers));
  return states;
}

void CachedRows::load_text(const SafetensorsFile& file) {
  const auto part = text_shard_prompts(file, key);
  prompts.insert(prompts.end(), part.begin(), part.end());
  const Condition states = text_shard_states(file);
  for (const auto& [name, value] : states.fields()) {
    Field& field = fields_[name];
    field.add(value);
    check<FormatError>(field.rows.size() == prompts.size(), file.path().string(), ": holds '", name, "' of ", field.rows.size(),
                       " prompts, expected ", prompts.size());
  }
}

int64_t CachedRows::bucket_of(const std::vector<int64_t>& shape) {
  const auto number = std::find(shapes.begin(), shapes.end(), shape) - shapes.begin();
  if (number == static_cast<int64_t>(shapes.size())) shapes.push_back(shape);
  return number;
}

// [count, V, C, h, w] of one bucket.
Tensor CachedRows::load_latents(const SafetensorsFile& file, const std::string& name, size_t count) {
  const Tensor tensor = file.tensor(name);
  check<FormatError>(tensor.dim() >= 5 && tensor.scalar_type() == torch::kFloat && tensor.size(0) == static_cast<int64_t>(count),
                     file.path().string(), ": ", name, " has shape ", show_shape(tensor.sizes()), ", expected [", count, ", V, C, h, w]");
  if (variants == 0) variants = tensor.size(1);
  check<FormatError>(variants == tensor.size(1), file.path().string(), ": ", name, " has shape ", show_shape(tensor.sizes()),
                     ", unlike the shards before it");
  mapped_.push_back(tensor);
  return tensor;
}

void CachedRows::load_bucket(const SafetensorsFile& file, const std::string& bucket, const std::vector<RowPlace*>& places) {
  std::vector<std::string> names = {"win"};
  if (file.contains("lose_mean" + bucket)) names.emplace_back("lose");
  std::vector<int64_t> shape;
  for (const auto& name : names) {
    CachedView start{};
    for (const auto& [part, to] : {std::pair{"_mean", &start.mean}, std::pair{"_std", &start.std}}) {
      const Tensor tensor = load_latents(file, name + part + bucket, places.size());
      const std::vector<int64_t> found = tensor.sizes().slice(2).vec();
      if (shape.empty()) shape = found;
      check<FormatError>(shape == found && (!bucket.empty() || shapes.empty() || shapes[0] == found), file.path().string(), ": ", name,
                         part, bucket, " has shape ", show_shape(tensor.sizes()), ", unlike the tensors before it");
      *to = tensor.data_ptr<float>();
    }
    const int64_t stride = variants * c10::multiply_integers(shape);
    for (size_t i = 0; i < places.size(); ++i) {
      const int64_t offset = static_cast<int64_t>(i) * stride;
      places[i]->views.push_back({start.mean + offset, start.std + offset});
    }
  }
  const int64_t number = bucket_of(shape);
  for (RowPlace* place : places) place->bucket = number;
  if (!file.contains("time_ids" + bucket)) return;
  const Tensor ids = file.tensor("time_ids" + bucket);
  const std::vector<int64_t> expected = {static_cast<int64_t>(places.size()), variants, 6};
  check<FormatError>(ids.sizes() == expected && ids.scalar_type() == torch::kFloat, file.path().string(), ": time_ids has shape ",
                     show_shape(ids.sizes()), ", expected ", show_shape(expected));
  mapped_.push_back(ids);
  for (size_t i = 0; i < places.size(); ++i) places[i]->time_ids = ids.data_ptr<float>() + static_cast<int64_t>(i) * variants * 6;
}

void CachedRows::load_rows(const SafetensorsFile& file, const Numbers& numbers) {
  const ShardInfo info = pair_shard_info(file, key);
  largest_std = std::max(largest_std, info.largest_std);
  std::map<std::string, std::vector<size_t>> buckets;
  for (const CachedRow& row : info.rows) {
    RowPlace place{.id = row.id,
                   .label = static_cast<float>(row.preference),
                   .weight = static_cast<float>(row.weight),
                   .reward = static_cast<float>(row.reward),
                   .prior = row.prior,
                   .repeats = row.repeats,
                   .bucket = 0,
                   .prompts = {},
                   .views = {}};
    const auto number = [&](const std::string& text) {
      const auto prompt = numbers.find(text);
      check<FormatError>(prompt != numbers.end(), file.path().string(), ": the text states of '", text, "' are missing");
      return prompt->second;
    };
    place.prompts.push_back(number(row.prompt));
    for (const std::string& wording : row.wordings) place.prompts.push_back(number(wording));
    if (!row.base_prompt.empty()) place.base_prompt = number(row.base_prompt);
    any_prior = any_prior || row.prior;
    any_reward = any_reward || !std::isnan(row.reward);
    buckets[row.bucket].push_back(rows.size());
    rows.push_back(std::move(place));
  }
  for (const auto& [bucket, members] : buckets) {
    std::vector<RowPlace*> places;
    for (const size_t row : members) places.push_back(&rows[row]);
    load_bucket(file, bucket, places);
  }
}

}  // namespace palate
