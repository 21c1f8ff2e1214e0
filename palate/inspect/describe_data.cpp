#include "palate/inspect/describe_data.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "palate/core/error.h"
#include "palate/core/progress.h"
#include "palate/data/readers/pair_files.h"
#include "palate/io/image.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

constexpr size_t most_sizes = 12;
constexpr const char* no_caption = "(no caption)";

bool has_suffix(const fs::path& path, const std::vector<std::string>& suffixes) {
  return std::find(suffixes.begin(), suffixes.end(), lower_suffix(path)) != suffixes.end();
}

const char* format_of(const std::string& bytes) {
  if (bytes.starts_with("\xff\xd8")) return "JPEG";
  return bytes.starts_with("\x89PNG") ? "PNG" : "WebP";
}

struct Tally {
  std::map<std::string, int64_t> sizes, formats;
  std::set<std::string> captions;
  int64_t bare = 0, ties = 0, unlabelled = 0, unreadable = 0, looked_at = 0;
  int64_t up = 0, down = 0, rewards = 0, base_prompts = 0;  // of single pictures
  std::string first_caption, first_unreadable;

  void look(PairSource& source, int64_t row) {
    PairRecord record;
    ++looked_at;
    try {
      if (!source.read(row, record)) {
        ++(record.kind == PairRecord::Kind::tie ? ties : unlabelled);
        return;
      }
      if (record.preference == 0.5) ++ties;
      up += record.notes.label > 0;
      down += record.notes.label < 0;
      rewards += !std::isnan(record.notes.reward);
      base_prompts += !record.notes.base_prompt.empty();
      for (const std::string* bytes : {&record.win, &record.lose}) {
        if (bytes->empty()) continue;
        const Tensor picture = decode_image(*bytes, record.origin);
        ++sizes[concat(picture.size(2), "x", picture.size(1))];
        ++formats[format_of(*bytes)];
      }
      if (record.prompt == no_caption) return void(++bare);
      if (captions.empty()) first_caption = record.prompt;
      captions.insert(record.prompt);
    } catch (const Error& error) {
      if (unreadable++ == 0) first_unreadable = error.what();
    }
  }
};

// The most frequent ones first, the rest as one entry.
Json ordered(const std::map<std::string, int64_t>& counts) {
  std::vector<std::pair<std::string, int64_t>> list(counts.begin(), counts.end());
  std::stable_sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  Json json = Json::object();
  int64_t others = 0;
  for (size_t i = 0; i < list.size(); ++i) {
    if (i < most_sizes)
      json[list[i].first] = list[i].second;
    else
      others += list[i].second;
  }
  if (others) json["others"] = others;
  return json;
}

}  // namespace

bool is_data(const fs::path& path) {
  if (!fs::is_directory(path)) return has_suffix(path, {".tar", ".parquet", ".jsonl", ".csv", ".toml"});
  for (const auto& entry : fs::recursive_directory_iterator(path, fs::directory_options::skip_permission_denied)) {
    if (entry.is_regular_file() && (is_picture(entry.path()) || has_suffix(entry.path(), {".tar", ".parquet", ".jsonl"}))) return true;
  }
  return false;
}

Json describe_data(const fs::path& path, int64_t most) {
  DataConfig config;
  config.ties = "soft";  // read, and counted
  config.variants = 4;   // as kohya's flip_aug and random_crop want
  const bool pairs = holds_pairs(path);
  (pairs ? config.pairs : config.images) = {path.string()};
  if (!pairs) config.caption = no_caption;  // pictures without one are counted, not refused
  const auto source = open_pairs(config);
  const int64_t rows = source->rows(), count = std::min(rows, most);
  Tally tally;
  {
    Progress progress("looking at " + path.filename().string(), count);
    for (int64_t row = 0; row < count; ++row) {
      tally.look(*source, row);
      progress.advance();
    }
  }
  Json json = {{"kind", "data"},
               {"file", path.string()},
               {"examples", pairs ? "pairs" : "pictures"},
               {"rows", rows},
               {"looked_at", tally.looked_at}};
  json["captions"] = tally.captions.size();
  if (!tally.captions.empty()) json["first_caption"] = tally.first_caption;
  if (!pairs) json["without_caption"] = tally.bare;
  if (!pairs) json.update({{"thumbs_up", tally.up}, {"thumbs_down", tally.down}, {"rewards", tally.rewards}});
  json["base_prompts"] = tally.base_prompts;
  if (pairs) json.update({{"ties", tally.ties}, {"unlabelled", tally.unlabelled}});
  json["sizes"] = ordered(tally.sizes);
  json["formats"] = ordered(tally.formats);
  json["unreadable"] = tally.unreadable;
  if (tally.unreadable) json["first_unreadable"] = tally.first_unreadable;
  return json;
}

}  // namespace palate
