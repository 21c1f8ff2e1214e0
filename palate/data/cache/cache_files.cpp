#include "palate/data/cache/cache_files.h"

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/io/json.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

// Fields are stored under their own names, but for the one that caches of the first version call "text".
const std::string text_field = "encoder_hidden_states", text_tensor = "text";

std::string numbered(const char* kind, int64_t index) {
  char name[48];
  std::snprintf(name, sizeof name, "%s-%05lld.safetensors", kind, static_cast<long long>(index));
  return name;
}

Json to_json(const RowCounts& counts) {
  return {{"ties", counts.ties}, {"unlabelled", counts.unlabelled}, {"duplicates", counts.duplicates}, {"bad", counts.bad}};
}

RowCounts counts_from(const Json& json) {
  return {json.at("ties").get<int64_t>(), json.at("unlabelled").get<int64_t>(), json.at("duplicates").get<int64_t>(),
          json.at("bad").get<std::vector<std::string>>()};
}

// The JSON kept under "palate" in a shard's metadata, whose key must be this cache's.
Json shard_json(const SafetensorsFile& file, const std::string& key) {
  const auto found = file.metadata().find("palate");
  check<FormatError>(found != file.metadata().end(), file.path().string(), ": expected a shard of a pair cache, found other tensors");
  Json json = parse_json(found->second, file.path().string());
  check<FormatError>(json.is_object() && json.value("key", "") == key, file.path().string(), ": belongs to another cache than ", key);
  return json;
}

// Runs `read`, which takes values out of JSON, and turns the library's errors into ours.
template <class Read>
auto reading(const fs::path& path, const Read& read) {
  try {
    return read();
  } catch (const nlohmann::json::exception& error) {
    fail<FormatError>(path.string(), ": the description of the cache is broken (", error.what(), "); delete ", path.parent_path().string(),
                      " and it is built again");
  }
}

Json to_json(const std::vector<CacheManifest::File>& files) {
  Json list = Json::array();
  for (const auto& file : files) list.push_back({{"file", file.name}, {"bytes", file.bytes}});
  return list;
}

std::vector<CacheManifest::File> checked_files(const fs::path& folder, const Json& list) {
  std::vector<CacheManifest::File> files;
  for (const Json& entry : list) {
    files.push_back({entry.at("file").get<std::string>(), entry.at("bytes").get<int64_t>()});
    const auto& [name, bytes] = files.back();
    const fs::path path = folder / name;
    std::error_code error;
    const auto size = fs::file_size(path, error);
    check<FormatError>(!error, path.string(), ": this part of the cache is missing; delete ", folder.string(), " and it is built again");
    check<FormatError>(static_cast<int64_t>(size) == bytes, path.string(), ": expected ", bytes, " bytes, found ", size, "; delete ",
                       folder.string(), " and it is built again");
  }
  return files;
}

}  // namespace

void RowCounts::add(const RowCounts& other) {
  ties += other.ties;
  unlabelled += other.unlabelled;
  duplicates += other.duplicates;
  bad.insert(bad.end(), other.bad.begin(), other.bad.end());
}

fs::path pair_shard_path(const fs::path& folder, int64_t index) { return folder / numbered("pairs", index); }
fs::path text_shard_path(const fs::path& folder, int64_t index) { return folder / numbered("text", index); }

void save_pair_shard(const fs::path& path, const std::string& key, const ShardInfo& info, const TensorMap& tensors) {
  Json rows = Json::array();
  for (const CachedRow& row : info.rows) {
    rows.push_back({row.id, row.prompt, row.preference, row.origin});
    Json notes = Json::object();
    if (row.prior) notes["prior"] = true;
    if (!row.base_prompt.empty()) notes["base_prompt"] = row.base_prompt;
    if (!std::isnan(row.reward)) notes["reward"] = row.reward;
    if (row.repeats == 1 && row.bucket.empty() && row.wordings.empty() && row.weight == 1 && notes.empty()) continue;
    for (const Json& more : {Json(row.repeats), Json(row.bucket), Json(row.wordings), Json(row.weight)}) rows.back().push_back(more);
    if (!notes.empty()) rows.back().push_back(notes);
  }
  const Json json = {
      {"key", key},  {"begin", info.begin}, {"end", info.end}, {"largest_std", info.largest_std}, {"counts", to_json(info.counts)},
      {"rows", rows}};
  // An origin is a path, which need not be UTF-8; prompts were checked when they were read.
  save_safetensors(path, tensors, {{"palate", json.dump(-1, ' ', false, Json::error_handler_t::replace)}});
}

ShardInfo pair_shard_info(const SafetensorsFile& file, const std::string& key) {
  return reading(file.path(), [&] {
    const Json json = shard_json(file, key);
    ShardInfo info{json.at("begin").get<int64_t>(),
                   json.at("end").get<int64_t>(),
                   {},
                   counts_from(json.at("counts")),
                   json.at("largest_std").get<double>()};
    for (const Json& row : json.at("rows")) {
      info.rows.push_back(
          {row.at(0).get<uint64_t>(), row.at(1).get<std::string>(), row.at(2).get<double>(), row.at(3).get<std::string>(), 1, "", {}, 1});
      if (row.size() == 4) continue;
      info.rows.back().repeats = row.at(4).get<int64_t>();
      info.rows.back().bucket = row.at(5).get<std::string>();
      info.rows.back().wordings = row.at(6).get<std::vector<std::string>>();
      if (row.size() > 7) info.rows.back().weight = row.at(7).get<double>();
      if (row.size() <= 8) continue;
      info.rows.back().prior = row.at(8).value("prior", false);
      info.rows.back().base_prompt = row.at(8).value("base_prompt", "");
      info.rows.back().reward = row.at(8).value("reward", std::nan(""));
    }
    return info;
  });
}

void save_text_shard(const fs::path& path, const std::string& key, const std::vector<std::string>& prompts, const Condition& states) {
  TensorMap tensors;
  for (const auto& [name, value] : states.fields()) tensors[name == text_field ? text_tensor : name] = value.contiguous();
  save_safetensors(path, tensors, {{"palate", Json{{"key", key}, {"prompts", prompts}}.dump()}});
}

Condition text_shard_states(const SafetensorsFile& file) {
  Condition states;
  for (const auto& name : file.names()) states.set(name == text_tensor ? text_field : name, file.tensor(name));
  return states;
}

std::vector<std::string> text_shard_prompts(const SafetensorsFile& file, const std::string& key) {
  return reading(file.path(), [&] { return shard_json(file, key).at("prompts").get<std::vector<std::string>>(); });
}

bool has_manifest(const fs::path& folder) { return fs::exists(folder / "manifest.json"); }

void save_manifest(const fs::path& folder, const CacheManifest& manifest) {
  Json bad = to_json(manifest.counts);
  bad = Json::parse(bad.dump(-1, ' ', false, Json::error_handler_t::replace));
  write_json(folder / "manifest.json", {{"format", "palate pair cache"},
                                        {"version", 1},
                                        {"key", manifest.key},
                                        {"settings", manifest.settings},
                                        {"scaling_factor", manifest.scaling_factor},
                                        {"counts", bad},
                                        {"pairs", to_json(manifest.pair_shards)},
                                        {"text", to_json(manifest.text_shards)}});
}

CacheManifest load_manifest(const fs::path& folder, const std::string& key) {
  const fs::path path = folder / "manifest.json";
  return reading(path, [&] {
    const Json json = read_json(path);
    CacheManifest manifest;
    manifest.key = json.at("key").get<std::string>();
    check<FormatError>(manifest.key == key, path.string(), ": belongs to the cache ", manifest.key, ", expected ", key);
    manifest.settings = json.at("settings").get<std::string>();
    manifest.scaling_factor = json.at("scaling_factor").get<double>();
    manifest.counts = counts_from(json.at("counts"));
    manifest.pair_shards = checked_files(folder, json.at("pairs"));
    manifest.text_shards = checked_files(folder, json.at("text"));
    return manifest;
  });
}

}  // namespace palate
