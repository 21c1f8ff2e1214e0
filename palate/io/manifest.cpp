#include "palate/io/manifest.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/core/text.h"
#include "palate/io/atomic_file.h"
#include "palate/io/image.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

// The text under the first of the keys that is there.
std::string text_of(const Json& line, std::initializer_list<const char*> keys, const std::string& origin) {
  for (const char* key : keys) {
    if (line.contains(key) && line[key].is_string()) return line[key].get<std::string>();
  }
  fail<FormatError>(origin, ": expected an object with a text '", *keys.begin(), "', found ", line.dump().substr(0, 200));
}

std::optional<uint64_t> number_of(const Json& line, const char* key) {
  if (!line.contains(key) || !line[key].is_number_unsigned()) return std::nullopt;
  return line[key].get<uint64_t>();
}

PictureSet from_manifest(const fs::path& file) {
  PictureSet set{file.has_parent_path() ? file.parent_path() : fs::path("."), {}};
  read_jsonl(file, [&](const Json& line, int64_t number) {
    const std::string origin = concat(file.string(), " line ", number);
    set.entries.push_back(manifest_entry(line, origin));
    const fs::path picture = set.file(set.entries.size() - 1);
    check<DataError>(fs::is_regular_file(picture), origin, ": there is no picture ", picture.string());
  });
  check<DataError>(!set.entries.empty(), file.string(), ": expected one line a picture, found none");
  return set;
}

bool has_picture_suffix(const fs::path& path) {
  const std::string suffix = lowered(path.extension().string());
  return suffix == ".png" || suffix == ".jpg" || suffix == ".jpeg" || suffix == ".webp";
}

std::string caption_beside(fs::path picture) {
  for (const char* suffix : {".txt", ".caption"}) {
    if (!fs::is_regular_file(picture.replace_extension(suffix))) continue;
    const std::string text = read_file(picture);
    return std::string(stripped(std::string_view(text).substr(0, text.find('\n'))));
  }
  return "";
}

PictureSet from_captions(const fs::path& folder) {
  PictureSet set{folder, {}};
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_regular_file() && has_picture_suffix(entry.path())) set.entries.push_back({entry.path().filename().string(), "", {}, {}});
  }
  std::sort(set.entries.begin(), set.entries.end(), [](const auto& a, const auto& b) { return a.image < b.image; });
  check<UsageError>(!set.entries.empty(), folder.string(),
                    ": expected manifest.jsonl, metadata.jsonl or pictures (.png, .jpg, .jpeg, .webp), found none of them");
  for (auto& entry : set.entries) {
    entry.prompt = caption_beside(folder / entry.image);
    check<DataError>(!entry.prompt.empty(), (folder / entry.image).string(),
                     ": expected its prompt in a .txt or .caption file beside it, or in manifest.jsonl, found none");
  }
  return set;
}

}  // namespace

void ManifestWriter::add(const Tensor& picture, const ManifestEntry& entry) const { add(picture, entry, Json::object()); }

void ManifestWriter::add(const Tensor& picture, const ManifestEntry& entry, const Json& more) const {
  write_png(folder_ / entry.image, picture);
  Json line = to_json(entry);
  line.update(more);
  LineWriter(manifest_file(folder_)).line(line.dump());
}

fs::path manifest_file(const fs::path& folder) { return folder / "manifest.jsonl"; }

Json to_json(const ManifestEntry& entry) {
  Json line = {{"image", entry.image}, {"prompt", entry.prompt}};
  if (entry.id) line["id"] = *entry.id;
  if (entry.seed) line["seed"] = *entry.seed;
  return line;
}

ManifestEntry manifest_entry(const Json& line, const std::string& origin) {
  return {text_of(line, {"image", "file", "file_name"}, origin), text_of(line, {"prompt", "text"}, origin), number_of(line, "id"),
          number_of(line, "seed")};
}

std::vector<std::string> PictureSet::prompts() const {
  std::vector<std::string> all;
  for (const auto& entry : entries) all.push_back(entry.prompt);
  return all;
}

PictureSet read_pictures(const fs::path& manifest_or_folder) {
  const fs::path& path = manifest_or_folder;
  if (fs::is_regular_file(path)) return from_manifest(path);
  check<UsageError>(fs::is_directory(path), path.string(), ": expected a manifest or a folder of pictures, found none");
  for (const char* name : {"manifest.jsonl", "metadata.jsonl"}) {
    if (fs::is_regular_file(path / name)) return from_manifest(path / name);
  }
  return from_captions(path);
}

}  // namespace palate
