// WebDataset shards, read in place. Keys, suffixes and grouping by adjacency are those of webdataset's own reader.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>

#include "palate/core/error.h"
#include "palate/core/text.h"
#include "palate/data/readers/captions.h"
#include "palate/data/readers/pair_files.h"
#include "palate/io/json.h"
#include "palate/io/mapped_file.h"
#include "palate/io/tar_reader.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

struct Part {
  std::string suffix;
  uint64_t begin, size;
};

struct Sample {
  std::string key;
  std::vector<Part> parts;

  const Part* part(const char* suffix) const {
    const auto found = std::find_if(parts.begin(), parts.end(), [&](const Part& p) { return p.suffix == suffix; });
    return found == parts.end() ? nullptr : &*found;
  }
};

// "a/b.out.PNG" -> "a/b" and "out.png": the base name is cut at its first dot. None for names without a dot, hidden files (such
// as macOS's "._x.jpg") and "__meta__".
std::optional<std::pair<std::string, std::string>> split_name(const std::string& name) {
  const size_t slash = name.rfind('/'), base = slash == std::string::npos ? 0 : slash + 1, dot = name.find('.', base);
  if (dot == std::string::npos || dot == base) return std::nullopt;
  const std::string first = name.substr(0, name.find('/'));
  if (first.size() >= 4 && first.starts_with("__") && first.ends_with("__")) return std::nullopt;
  return std::pair(name.substr(0, dot), lowered(name.substr(dot + 1)));
}

std::vector<Sample> group(const std::vector<TarEntry>& entries, const std::string& origin) {
  std::vector<Sample> samples;
  for (const TarEntry& entry : entries) {
    const auto name = split_name(entry.name);
    if (!name) continue;
    if (samples.empty() || samples.back().key != name->first) samples.push_back({name->first, {}});
    Sample& sample = samples.back();
    check<FormatError>(!sample.part(name->second.c_str()), origin, ": holds '", entry.name, "' twice in one sample");
    sample.parts.push_back({name->second, entry.begin, entry.size});
  }
  return samples;
}

class WebDataset : public PairSource {
 public:
  WebDataset(const fs::path& path, const DataConfig& config) : path_(path), config_(config), column_(config.caption_column) {
    samples_ = group(read_tar_table(file().bytes(), path.string()), path.string());
    const bool pictures =
        std::any_of(samples_.begin(), samples_.end(), [&](const Sample& sample) { return picture_of(sample) != nullptr; });
    check<UsageError>(pictures, "data.images: '", path.string(), "' holds no picture (.jpg, .jpeg, .png, .webp)",
                      samples_.empty() ? "" : concat("; its first sample '", samples_[0].key, "' has .", samples_[0].parts[0].suffix));
  }

  int64_t rows() const override { return static_cast<int64_t>(samples_.size()); }
  std::string content(const HashFile& hash) const override {
    return concat(hash(path_), "\n", config_.caption, "\n", column_, "\n", caption_settings(config_));
  }
  void rest() override { file_.reset(); }

  bool read(int64_t row, PairRecord& record) override {
    const Sample& sample = samples_[static_cast<size_t>(row)];
    record = {};
    record.kind = PairRecord::Kind::single;
    record.origin = concat(path_.string(), ": sample '", sample.key, "'");
    const Part* picture = picture_of(sample);
    if (!picture) fail<DataError>(record.origin, ": holds no picture, but ", suffixes(sample));
    record.win_name = picture->suffix;
    record.win = bytes(*picture);
    const Json json = described(sample, record.origin);
    record.prompt = caption(sample, json, record.origin);
    record.notes = json_notes(json);
    record.repeats = config_.num_repeats;
    add_wordings(record, config_);
    finish_record(record);
    const Part &first = sample.parts.front(), &last = sample.parts.back();
    file().forget(first.begin, last.begin + last.size);
    return true;
  }

 private:
  const MappedFile& file() {
    if (!file_) file_ = map_file(path_, "tar archive");
    return *file_;
  }

  std::string bytes(const Part& part) {
    const std::string_view all = file().bytes();
    check<FormatError>(part.begin <= all.size() && part.size <= all.size() - part.begin, path_.string(),
                       ": has become shorter while it was being read");
    return std::string(all.substr(part.begin, part.size));
  }

  static const Part* picture_of(const Sample& sample) {
    for (const char* suffix : {"jpg", "jpeg", "png", "webp"}) {
      if (const Part* part = sample.part(suffix)) return part;
    }
    return nullptr;
  }

  static std::string suffixes(const Sample& sample) {
    std::string text;
    for (const Part& part : sample.parts) text += (text.empty() ? "." : ", .") + part.suffix;
    return text;
  }

  // Its .json, or an object without keys.
  Json described(const Sample& sample, const std::string& origin) {
    const Part* part = sample.part("json");
    Json json = part ? parse_json(bytes(*part), origin + " json") : Json::object();
    return json.is_object() ? json : Json::object();
  }

  std::string caption(const Sample& sample, const Json& json, const std::string& origin) {
    if (column_.empty()) {
      for (const char* suffix : {"txt", "caption"}) {
        if (const Part* part = sample.part(suffix)) return first_line(bytes(*part));
      }
    }
    std::string found = json_caption(json, column_);
    if (found.empty()) found = config_.caption;
    check<DataError>(!found.empty(), origin, ": has no caption: expected .txt, .caption or ",
                     column_.empty() ? one_of(caption_names()) : "'" + column_ + "'", " in .json, found ", suffixes(sample),
                     " (data.caption gives one to all that bring none)");
    return found;
  }

  fs::path path_;
  DataConfig config_;
  std::string column_;
  std::vector<Sample> samples_;
  std::shared_ptr<MappedFile> file_;
};

}  // namespace

std::unique_ptr<PairSource> open_webdataset(const fs::path& path, const DataConfig& config) {
  return std::make_unique<WebDataset>(path, config);
}

}  // namespace palate
