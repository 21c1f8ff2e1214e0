// Preference pairs as two folders of pictures with equal names.
#include <algorithm>
#include <map>

#include "palate/core/error.h"
#include "palate/data/readers/pair_files.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

class FolderPairs : public PairSource {
 public:
  FolderPairs(const fs::path& win, const fs::path& lose, const FolderOptions& options)
      : winners_(open_image_folder(win, options)), lose_(lose) {
    for (const auto& entry : fs::directory_iterator(lose)) {
      if (!is_picture(entry.path()) || entry.path().filename().string().starts_with('.')) continue;
      const auto [other, fresh] = losers_.emplace(entry.path().stem().string(), entry.path());
      check<DataError>(fresh, other->second.string(), " and ", entry.path().filename().string(), ": two rejected pictures of one name");
    }
  }

  int64_t rows() const override { return winners_->rows(); }

  bool read(int64_t row, PairRecord& record) override {
    winners_->read(row, record);
    const fs::path winner = record.origin;
    const auto loser = losers_.find(winner.stem().string());
    check<DataError>(loser != losers_.end(), record.origin, ": has no rejected picture of that name in '", lose_.string(), "'");
    record.kind = PairRecord::Kind::pair;
    record.lose_name = loser->second.string();
    record.lose = read_picture(loser->second, record.origin);
    finish_record(record);
    return true;
  }

  std::string content(const HashFile& hash) const override {
    std::string text = winners_->content(hash);
    for (const auto& [name, path] : losers_) text += concat("\n", name, " ", hash(path));
    return text;
  }

 private:
  std::unique_ptr<PairSource> winners_;
  fs::path lose_;
  std::map<std::string, fs::path> losers_;  // by name without suffix
};

std::unique_ptr<PairSource> open_one(const fs::path& path, FolderOptions options) {
  const auto folders = pair_folder(path);
  return folders ? std::make_unique<FolderPairs>(folders->first, folders->second, options) : nullptr;
}

}  // namespace

std::optional<std::pair<fs::path, fs::path>> pair_folder(const fs::path& path) {
  for (const auto& [win, lose] : {std::pair("win", "lose"), std::pair("w", "l"), std::pair("chosen", "rejected")}) {
    if (fs::is_directory(path / win) && fs::is_directory(path / lose)) return std::pair(path / win, path / lose);
  }
  return std::nullopt;
}

SourceList open_folder_pairs(const fs::path& path, const DataConfig& config) {
  FolderOptions options = folder_options(config);
  options.repeats = 1;
  options.recursive = options.concepts = false;
  SourceList list;
  if (auto source = open_one(path, options)) {
    list.push_back(std::move(source));
    return list;
  }
  std::vector<fs::path> inner;
  for (const auto& entry : fs::directory_iterator(path)) {
    if (entry.is_directory()) inner.push_back(entry.path());
  }
  std::sort(inner.begin(), inner.end());
  for (const fs::path& folder : inner) {
    const auto [repeats, caption] = concept_of(folder.filename().string());
    FolderOptions own = options;
    if (repeats > 0) own.repeats = repeats, own.caption = caption;
    if (auto source = open_one(folder, own)) list.push_back(std::move(source));
  }
  return list;
}

}  // namespace palate
