// manifest.jsonl: the pictures of a folder, what was asked for and how each was made. One line a picture:
//   {"image":"00000.png","prompt":"a red circle","id":1234,"seed":0, ... more of how it was made}
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "palate/core/tensor.h"
#include "palate/io/json.h"

namespace palate {

struct ManifestEntry {
  std::string image;  // its file, seen from the manifest's folder
  std::string prompt;
  std::optional<uint64_t> id, seed;  // both together give the starting noise; none where another program made the picture
};

// Writes pictures beside their manifest, each followed by its line.
class ManifestWriter {
 public:
  explicit ManifestWriter(std::filesystem::path folder) : folder_(std::move(folder)) {}
  void add(const Tensor& picture, const ManifestEntry& entry) const;                    // picture: uint8 [3, H, W]
  void add(const Tensor& picture, const ManifestEntry& entry, const Json& more) const;  // `more`: an object, its keys follow

 private:
  std::filesystem::path folder_;
};

std::filesystem::path manifest_file(const std::filesystem::path& folder);

// The line of an entry, as a JSON object, and back. The image may also be called "file" or "file_name", the prompt "text". FormatError
// says that `origin` has none.
Json to_json(const ManifestEntry& entry);
ManifestEntry manifest_entry(const Json& line, const std::string& origin);

// Pictures with prompts on disk.
struct PictureSet {
  std::filesystem::path folder;  // which the images are seen from
  std::vector<ManifestEntry> entries;

  std::filesystem::path file(size_t entry) const { return folder / entries[entry].image; }
  std::vector<std::string> prompts() const;
};

// A manifest, or a folder with manifest.jsonl or metadata.jsonl in it, or with a caption (.txt, .caption) beside each picture, which are
// taken by name. Errors: UsageError when there is nothing of that kind, DataError for a picture that is missing or has no caption.
PictureSet read_pictures(const std::filesystem::path& manifest_or_folder);

}  // namespace palate
