#include <algorithm>

#include "palate/core/error.h"
#include "palate/core/text.h"
#include "palate/data/readers/pair_files.h"
#include "palate/io/atomic_file.h"

namespace palate {

namespace fs = std::filesystem;

std::string lower_suffix(const fs::path& path) { return lowered(path.extension().string()); }

bool is_picture(const fs::path& path) {
  const std::string suffix = lower_suffix(path);
  return suffix == ".jpg" || suffix == ".jpeg" || suffix == ".png" || suffix == ".webp";
}

std::string show_entries(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string() + (entry.is_directory() ? "/" : ""));
  }
  std::sort(names.begin(), names.end());
  if (names.empty()) return "nothing";
  std::string text = concat(names.size(), names.size() == 1 ? " entry: " : " entries: ");
  for (size_t i = 0; i < std::min<size_t>(names.size(), 8); ++i) text += (i ? ", " : "") + names[i];
  return names.size() > 8 ? text + ", ..." : text;
}

std::string read_picture(const fs::path& path, const std::string& origin) {
  try {
    std::string bytes = read_file(path);
    check<DataError>(!bytes.empty(), path.string(), " is empty");
    return bytes;
  } catch (const Error& error) {
    fail<DataError>(origin, ": ", error.what());
  }
}

namespace {

bool known_kind(const fs::path& path) { return lower_suffix(path) == ".parquet" || lower_suffix(path) == ".jsonl"; }

std::unique_ptr<PairSource> open_pair_file(const fs::path& path, const DataConfig& config) {
  return lower_suffix(path) == ".parquet" ? open_parquet_pairs(path, config.ties) : open_jsonl_pairs(path, config.ties);
}

// All files, one after the other. Those that are not being read rest: a reader keeps its current row group in memory.
class PairChain : public PairSource {
 public:
  explicit PairChain(SourceList sources) : sources_(std::move(sources)) {
    for (const auto& source : sources_) {
      begins_.push_back(rows_);
      rows_ += source->rows();
    }
  }

  int64_t rows() const override { return rows_; }

  bool read(int64_t row, PairRecord& record) override {
    PairSource& source = source_of(row);
    return source.read(row - begins_[current_], record);
  }
  void notes(int64_t row, PairRecord& record) override {
    PairSource& source = source_of(row);
    source.notes(row - begins_[current_], record);
  }
  void rest() override { sources_[current_]->rest(); }

  std::string content(const HashFile& hash) const override {
    std::string text;
    for (const auto& source : sources_) text += source->content(hash) + "\n";
    return text;
  }

 private:
  PairSource& source_of(int64_t row) {
    check<UsageError>(row >= 0 && row < rows_, "[pairs] expected a row below ", rows_, ", got ", row);
    const size_t source = static_cast<size_t>(std::upper_bound(begins_.begin(), begins_.end(), row) - begins_.begin()) - 1;
    if (source != current_) sources_[current_]->rest();
    current_ = source;
    return *sources_[source];
  }

  SourceList sources_;
  std::vector<int64_t> begins_;
  int64_t rows_ = 0;
  size_t current_ = 0;
};

std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_regular_file() && known_kind(entry.path())) found.push_back(entry.path());
  }
  bool pictures = false;
  if (found.empty()) {
    for (const auto& entry : fs::recursive_directory_iterator(folder, fs::directory_options::skip_permission_denied))
      pictures = pictures || is_picture(entry.path());
  }
  check<UsageError>(!found.empty(), "data.pairs: the folder '", folder.string(),
                    "' holds no .parquet and no .jsonl file (subfolders are not searched); it holds ", show_entries(folder),
                    pictures ? "; pictures with captions are named by data.images, pairs of pictures lie in win/ and lose/" : "");
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace

SourceList open_pair_files(const DataConfig& config) {
  SourceList sources;
  const auto add = [&](std::unique_ptr<PairSource> source) {
    source->rest();
    sources.push_back(std::move(source));
  };
  for (const std::string& name : config.pairs) {
    const fs::path path(name);
    check<UsageError>(fs::exists(path), "data.pairs: '", name, "' does not exist (looked in ", fs::current_path().string(), ")");
    if (!fs::is_directory(path)) {
      check<UsageError>(known_kind(path), "data.pairs: '", name, "' is neither a .parquet file (Pick-a-Pic) nor a .jsonl file");
      add(open_pair_file(path, config));
      continue;
    }
    SourceList folders = open_folder_pairs(path, config);
    for (auto& folder : folders) add(std::move(folder));
    if (!folders.empty()) continue;
    for (const fs::path& file : files_in(path)) add(open_pair_file(file, config));
  }
  return sources;
}

std::unique_ptr<PairSource> open_pairs(const DataConfig& config) {
  check<UsageError>(
      !config.pairs.empty() || !config.images.empty(),
      "data.pairs names no file: give .parquet or .jsonl files, or folders of them (or pictures with captions as data.images)");
  return std::make_unique<PairChain>(config.images.empty() ? open_pair_files(config) : open_image_files(config));
}

std::string example_noun(const DataConfig& config) { return config.images.empty() ? "pair" : "picture"; }

}  // namespace palate
