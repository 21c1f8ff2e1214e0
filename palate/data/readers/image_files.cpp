// data.images: what each name stands for. The one table of kinds.
#include <algorithm>

#include "palate/core/error.h"
#include "palate/data/readers/pair_files.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

SourceList one(std::unique_ptr<PairSource> source) {
  SourceList list;
  list.push_back(std::move(source));
  return list;
}

struct FileKind {
  const char* suffix;
  const char* name;
  SourceList (*open)(const fs::path&, const DataConfig&);
  bool in_folders;  // a folder of such files stands for all of them
};

const std::vector<FileKind>& kinds() {
  static const std::vector<FileKind> all = {
      {".tar", "WebDataset shard", [](const fs::path& path, const DataConfig& config) { return one(open_webdataset(path, config)); }, true},
      {".parquet", "parquet file", [](const fs::path& path, const DataConfig& config) { return one(open_parquet_images(path, config)); },
       true},
      {".jsonl", "list", [](const fs::path& path, const DataConfig& config) { return one(open_image_list(path, config)); }, false},
      {".csv", "list", [](const fs::path& path, const DataConfig& config) { return one(open_image_list(path, config)); }, false},
      {".toml", "kohya's dataset TOML", [](const fs::path& path, const DataConfig& config) { return open_kohya(path, config); }, false},
  };
  return all;
}

const FileKind* kind_of(const fs::path& path) {
  const auto found = std::find_if(kinds().begin(), kinds().end(), [&](const FileKind& kind) { return lower_suffix(path) == kind.suffix; });
  return found == kinds().end() ? nullptr : &*found;
}

// The shards that lie in the folder itself, if it holds such files; they must be of one kind.
std::vector<fs::path> shards_in(const fs::path& folder) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const FileKind* kind = entry.is_regular_file() ? kind_of(entry.path()) : nullptr;
    if (kind && kind->in_folders) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  for (const fs::path& path : found) {
    check<UsageError>(kind_of(path) == kind_of(found[0]), "data.images: the folder '", folder.string(), "' holds ",
                      found[0].filename().string(), " and ", path.filename().string(), ": name the files that you mean");
  }
  return found;
}

// "x-{000..012}.tar" -> x-000.tar to x-012.tar, "{a,b}" -> a and b, from left to right. A name that exists is taken as it is.
std::vector<std::string> expand_braces(const std::string& name) {
  const size_t open = name.find('{'), close = name.find('}', open == std::string::npos ? 0 : open);
  if (fs::exists(name) || open == std::string::npos || close == std::string::npos) return {name};
  const std::string head = name.substr(0, open), inner = name.substr(open + 1, close - open - 1), tail = name.substr(close + 1);
  std::vector<std::string> middles;
  const size_t dots = inner.find("..");
  if (dots != std::string::npos) {
    const std::string first = inner.substr(0, dots), last = inner.substr(dots + 2);
    const auto digits = [](const std::string& text) {
      return !text.empty() && text.size() < 10 && text.find_first_not_of("0123456789") == std::string::npos;
    };
    check<UsageError>(digits(first) && digits(last) && std::stoll(first) <= std::stoll(last), "data.images: '", name,
                      "': expected {000..012}, found {", inner, "}");
    check<UsageError>(std::stoll(last) - std::stoll(first) < 100000, "data.images: '", name, "' stands for more than 100000 files");
    for (int64_t i = std::stoll(first); i <= std::stoll(last); ++i) {
      std::string number = std::to_string(i);
      if (number.size() < first.size()) number.insert(0, first.size() - number.size(), '0');
      middles.push_back(std::move(number));
    }
  } else {
    for (size_t begin = 0; begin <= inner.size();) {
      const size_t end = std::min(inner.find(',', begin), inner.size());
      middles.push_back(inner.substr(begin, end - begin));
      begin = end + 1;
    }
  }
  std::vector<std::string> names;
  for (const std::string& middle : middles) {
    for (const std::string& rest : expand_braces(tail)) names.push_back(head + middle + rest);
  }
  return names;
}

SourceList open_images(const std::string& name, const DataConfig& config) {
  const fs::path path(name);
  check<UsageError>(fs::exists(path), "data.images: '", name, "' does not exist (looked in ", fs::current_path().string(), ")");
  if (fs::is_directory(path)) {
    SourceList list;
    for (const fs::path& shard : shards_in(path)) {
      for (auto& source : kind_of(shard)->open(shard, config)) list.push_back(std::move(source));
    }
    return list.empty() ? one(open_image_folder(path, folder_options(config))) : std::move(list);
  }
  const std::string suffix = lower_suffix(path);
  check<UsageError>(suffix != ".tgz" && suffix != ".gz", "data.images: '", name,
                    "' is compressed, and pictures in it cannot be read in place: unpack it to a plain .tar once (gunzip), jpg and png "
                    "would not shrink anyway");
  const FileKind* kind = kind_of(path);
  std::string known;
  for (const FileKind& k : kinds()) known += concat(known.empty() ? "" : ", ", "a ", k.suffix, " (", k.name, ")");
  check<UsageError>(kind != nullptr, "data.images: '", name, "' is neither a folder of pictures nor ", known,
                    is_picture(path) ? ": name the folder that it is in" : "");
  return kind->open(path, config);
}

}  // namespace

SourceList open_image_files(const DataConfig& config) {
  SourceList list;
  for (const std::string& pattern : config.images) {
    for (const std::string& name : expand_braces(pattern)) {
      for (auto& source : open_images(name, config)) {
        source->rest();
        list.push_back(std::move(source));
      }
    }
  }
  return list;
}

}  // namespace palate
