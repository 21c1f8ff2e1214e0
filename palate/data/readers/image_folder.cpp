// Pictures in a folder, with captions as people keep them beside pictures.
#include <algorithm>
#include <map>

#include "palate/core/error.h"
#include "palate/data/framing/buckets.h"
#include "palate/data/readers/captions.h"
#include "palate/data/readers/pair_files.h"
#include "palate/io/atomic_file.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

struct Picture {
  fs::path path, caption_file;  // caption_file: "" where the caption is known
  std::string caption;
  int64_t repeats = 1;
  PictureNotes notes;
};

bool hidden(const fs::path& path) { return path.filename().string().starts_with('.') || path.filename() == "__MACOSX"; }

void collect(const fs::path& folder, bool recursive, std::vector<fs::path>& pictures) {
  std::vector<fs::path> inner;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (hidden(entry.path())) continue;
    if (entry.is_directory() && recursive && !entry.is_symlink()) inner.push_back(entry.path());
    if (entry.is_regular_file() && is_picture(entry.path())) pictures.push_back(entry.path());
  }
  for (const fs::path& path : inner) collect(path, recursive, pictures);
}

class ImageFolder : public PairSource {
 public:
  ImageFolder(const fs::path& root, const FolderOptions& options) : root_((root / "").lexically_normal().parent_path()), options_(options) {
    if (root_.empty()) root_ = ".";  // which is written as nothing once it is normal
    std::vector<fs::path> paths;
    try {
      collect(root_, options.recursive, paths);
    } catch (const fs::filesystem_error& error) {
      fail<IoError>("data.images: the folder '", root.string(), "' cannot be read: ", error.what());
    }
    check<UsageError>(!paths.empty(), "data.images: the folder '", root.string(),
                      "' holds no picture (.jpg, .jpeg, .png, .webp); it holds ", show_entries(root));
    std::sort(paths.begin(), paths.end());
    for (const fs::path& path : paths) add(path);
    check<DataError>(bare_ == 0, first_bare_.string(), ": has no caption, as ", bare_, " of ", paths.size(), " pictures in '",
                     root.string(), "': expected ", options.caption_extension.empty() ? ".txt or .caption" : options.caption_extension,
                     " files beside them, metadata.jsonl or metadata.csv, or one caption for all as data.caption");
  }

  int64_t rows() const override { return static_cast<int64_t>(pictures_.size()); }

  bool read(int64_t row, PairRecord& record) override {
    const Picture& picture = pictures_[static_cast<size_t>(row)];
    record = {};
    record.kind = PairRecord::Kind::single;
    record.origin = picture.path.string();
    record.win_name = "picture";
    record.win = read_picture(picture.path, "data.images");
    record.prompt = caption(picture);
    record.notes = picture.notes;
    record.repeats = picture.repeats;
    record.rule = options_.rule;
    if (options_.shuffle) record.wordings = shuffled_captions(record.prompt, options_.separator, options_.keep_tokens, other_orders);
    finish_record(record);
    return true;
  }

  void notes(int64_t row, PairRecord& record) override {
    record.origin = pictures_[static_cast<size_t>(row)].path.string();
    record.notes = pictures_[static_cast<size_t>(row)].notes;
    record.repeats = pictures_[static_cast<size_t>(row)].repeats;
  }

  std::string content(const HashFile& hash) const override {
    std::string text =
        concat(options_.prefix, "\n", options_.suffix, "\n", options_.shuffle, " ", options_.keep_tokens, options_.separator);
    if (options_.rule) {
      const ImageRule& r = *options_.rule;
      text += concat("\n", r.resolution.width, "x", r.resolution.height, " ", r.buckets, " ", r.min_side, " ", r.max_side, " ", r.step, " ",
                     r.no_upscale, r.random_crop, r.flip);
    }
    for (const Picture& picture : pictures_) {
      text += concat("\n", hash(picture.path), " ", picture.repeats, " ",
                     picture.caption_file.empty() ? picture.caption : hash(picture.caption_file), picture.notes.content());
    }
    return text;
  }

 private:
  void add(const fs::path& path) {
    Picture picture{path, {}, {}, options_.repeats, {}};
    const std::string concept_name = options_.concepts ? concept_folder(path) : "";
    if (!concept_name.empty()) {
      const auto [repeats, caption] = concept_of(concept_name);
      picture.repeats *= repeats;
      picture.caption = caption;
    }
    if (options_.concepts) picture.notes.label = thumb_folder(path);
    if (const ListedPicture* listed = listed_picture(path)) {
      picture.caption = listed->caption;
      const double folder = picture.notes.label;
      picture.notes = listed->notes;
      if (picture.notes.label == 0) picture.notes.label = folder;
    } else if (const fs::path file = caption_file(path); !file.empty()) {
      picture.caption_file = file;
    } else if (picture.caption.empty()) {
      picture.caption = options_.caption;
    }
    if (picture.caption_file.empty() && picture.caption.empty() && bare_++ == 0) first_bare_ = path;
    pictures_.push_back(std::move(picture));
  }

  // The folder directly below the root that the picture is in, if it is one of kohya's; "" else.
  std::string concept_folder(const fs::path& path) const {
    const fs::path inner = path.parent_path().lexically_relative(root_);
    const std::string name = inner.empty() ? "" : inner.begin()->string();
    return concept_of(name).first > 0 ? name : "";
  }

  // Pictures below ROOT/good have a thumb up, those below ROOT/bad a thumb down.
  double thumb_folder(const fs::path& path) const {
    const fs::path inner = path.parent_path().lexically_relative(root_);
    const std::string name = inner.empty() ? "" : inner.begin()->string();
    return name == "good" ? 1 : name == "bad" ? -1 : 0;
  }

  // What metadata.jsonl or metadata.csv in the picture's folder, or in one above it up to the root, says of it; null for nothing.
  const ListedPicture* listed_picture(const fs::path& picture) {
    for (fs::path place = picture.parent_path();; place = place.parent_path()) {
      auto known = metadata_.find(place);
      if (known == metadata_.end()) known = metadata_.emplace(place, read_metadata(place, options_.caption_column)).first;
      const auto found = known->second.find(picture.lexically_relative(place).generic_string());
      if (found != known->second.end()) return &found->second;
      if (place == root_ || place == place.parent_path()) return nullptr;
    }
  }

  fs::path caption_file(const fs::path& picture) const {
    std::vector<fs::path> found;
    for (const std::string& extension : options_.caption_extension.empty() ? std::vector<std::string>{".txt", ".caption"}
                                                                           : std::vector<std::string>{options_.caption_extension}) {
      fs::path path = picture;
      path.replace_extension(extension);
      if (fs::is_regular_file(path)) found.push_back(path);
    }
    if (found.size() == 2) {
      check<DataError>(read_file(found[0]) == read_file(found[1]), found[0].string(), " and ", found[1].filename().string(),
                       " differ: say which holds the captions with data.caption_extension");
    }
    return found.empty() ? fs::path() : found[0];
  }

  std::string caption(const Picture& picture) const {
    const std::string text = picture.caption_file.empty() ? picture.caption : first_line(read_file(picture.caption_file));
    check<DataError>(!text.empty(), picture.path.string(), ": the caption in ", picture.caption_file.filename().string(), " is empty");
    return (options_.prefix.empty() ? "" : options_.prefix + " ") + text + (options_.suffix.empty() ? "" : " " + options_.suffix);
  }

  fs::path root_, first_bare_;
  FolderOptions options_;
  std::vector<Picture> pictures_;
  std::map<fs::path, std::map<std::string, ListedPicture>> metadata_;  // by folder
  int64_t bare_ = 0;
};

}  // namespace

// Three digits at most: "2024_holiday" is a folder of that year.
std::pair<int64_t, std::string> concept_of(const std::string& name) {
  const size_t digits = name.find_first_not_of("0123456789");
  if (digits == 0 || digits == std::string::npos || digits > 3 || name[digits] != '_' || digits + 1 == name.size()) return {0, ""};
  return {std::stoll(name.substr(0, digits)), name.substr(digits + 1)};
}

FolderOptions folder_options(const DataConfig& config) {
  FolderOptions options;
  options.caption = config.caption;
  options.caption_extension = config.caption_extension;
  options.caption_column = config.caption_column;
  options.repeats = config.num_repeats;
  options.shuffle = config.shuffle_caption;
  options.keep_tokens = config.keep_tokens;
  return options;
}

std::unique_ptr<PairSource> open_image_folder(const fs::path& path, const FolderOptions& options) {
  return std::make_unique<ImageFolder>(path, options);
}

}  // namespace palate
