#include <algorithm>

#include "palate/core/error.h"
#include "palate/data/pair_files.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

std::string lower_suffix(const fs::path& path) {
  std::string suffix = path.extension().string();
  std::transform(suffix.begin(), suffix.end(), suffix.begin(), [](unsigned char c) { return std::tolower(c); });
  return suffix;
}

bool known_kind(const fs::path& path) { return lower_suffix(path) == ".parquet" || lower_suffix(path) == ".jsonl"; }

PairFile pair_file(const fs::path& path) {
  return {path, lower_suffix(path) == ".parquet" ? PairFileKind::parquet : PairFileKind::jsonl};
}

// "3 entries: a.txt, images/, notes.md"
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

// All files, one after the other. Only one is open at a time: a reader keeps its current row group in memory.
class PairChain : public PairSource {
 public:
  PairChain(std::vector<PairFile> files, std::string ties) : files_(std::move(files)), ties_(std::move(ties)) {
    for (size_t i = 0; i < files_.size(); ++i) {
      open(i);
      begins_.push_back(rows_);
      rows_ += reader_->rows();
    }
  }

  int64_t rows() const override { return rows_; }

  bool read(int64_t row, PairRecord& record) override {
    check<UsageError>(row >= 0 && row < rows_, "[pairs] expected a row below ", rows_, ", got ", row);
    const size_t file = static_cast<size_t>(std::upper_bound(begins_.begin(), begins_.end(), row) - begins_.begin()) - 1;
    if (file != current_) open(file);
    return reader_->read(row - begins_[file], record);
  }

 private:
  void open(size_t file) {
    reader_ = open_pair_file(files_[file], ties_);
    current_ = file;
  }

  std::vector<PairFile> files_;
  std::string ties_;
  std::vector<int64_t> begins_;
  int64_t rows_ = 0;
  size_t current_ = 0;
  std::unique_ptr<PairSource> reader_;
};

}  // namespace

std::vector<PairFile> list_pair_files(const DataConfig& config) {
  check<UsageError>(!config.pairs.empty(), "data.pairs names no file: give .parquet or .jsonl files, or folders of them");
  std::vector<PairFile> files;
  for (const std::string& name : config.pairs) {
    const fs::path path(name);
    check<UsageError>(fs::exists(path), "data.pairs: '", name, "' does not exist (looked in ", fs::current_path().string(), ")");
    if (!fs::is_directory(path)) {
      check<UsageError>(known_kind(path), "data.pairs: '", name, "' is neither a .parquet file (Pick-a-Pic) nor a .jsonl file");
      files.push_back(pair_file(path));
      continue;
    }
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(path)) {
      if (entry.is_regular_file() && known_kind(entry.path())) found.push_back(entry.path());
    }
    check<UsageError>(!found.empty(), "data.pairs: the folder '", name, "' holds no .parquet and no .jsonl file (subfolders are not searched); it holds ",
                      show_entries(path));
    std::sort(found.begin(), found.end());
    for (const fs::path& file : found) files.push_back(pair_file(file));
  }
  return files;
}

std::unique_ptr<PairSource> open_pair_file(const PairFile& file, const std::string& ties) {
  return file.kind == PairFileKind::parquet ? open_parquet_pairs(file.path, ties) : open_jsonl_pairs(file.path, ties);
}

std::unique_ptr<PairSource> open_pairs(const DataConfig& config) {
  return std::make_unique<PairChain>(list_pair_files(config), config.ties);
}

}  // namespace palate
