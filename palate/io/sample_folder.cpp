#include "palate/io/sample_folder.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <unordered_map>

#include "palate/core/error.h"
#include "palate/io/atomic_file.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

std::string picture_name(size_t number) {
  char name[32];
  std::snprintf(name, sizeof name, "%05zu.png", number);
  return name;
}

// A line that was being written when the program was killed is not JSON.
std::optional<Json> parse_line(const std::string& text) {
  Json line = Json::parse(text, nullptr, false);
  if (line.is_object()) return line;
  return std::nullopt;
}

// "steps is 25 there and 30 now"
std::string difference(const Json& before, const Json& now) {
  for (const auto& [key, value] : now.items()) {
    const Json there = before.value(key, Json());
    if (there != value) return concat(key, " is ", there.dump(), " there and ", value.dump(), " now");
  }
  return "";
}

}  // namespace

SampleFolder::SampleFolder(fs::path folder, std::vector<ManifestEntry> entries, Json settings, Existing existing)
    : set_{std::move(folder), std::move(entries)}, settings_(std::move(settings)), done_(set_.entries.size(), false) {
  for (size_t i = 0; i < set_.entries.size(); ++i) set_.entries[i].image = picture_name(i);
  if (existing == Existing::goes_on && fs::exists(manifest_file(set_.folder))) {
    read_manifest();
  } else {
    check_new_folder(set_.folder);
    made_ = !fs::exists(set_.folder);
    make_folder(set_.folder);
  }
}

SampleFolder::~SampleFolder() {
  std::error_code ignored;
  if (made_)
    fs::remove(set_.folder, ignored);  // which does nothing unless it is empty: what failed before the first picture leaves nothing
}

void SampleFolder::read_manifest() {
  const fs::path manifest = manifest_file(set_.folder);
  std::unordered_map<std::string, size_t> numbers;
  for (size_t i = 0; i < set_.entries.size(); ++i) numbers[set_.entries[i].image] = i;
  std::string kept;
  std::stringstream lines(read_file(manifest));
  for (std::string text; std::getline(lines, text);) {
    const auto before = parse_line(text);
    if (!before) continue;
    const std::string image = manifest_entry(*before, manifest.string()).image;
    const auto known = numbers.find(image);
    check<UsageError>(known != numbers.end(), manifest.string(), ": has a line for ", image, ", but ", set_.entries.size(),
                      set_.entries.size() == 1 ? " picture is" : " pictures are",
                      " asked for: --resume goes on with the same prompts and --count");
    const size_t number = known->second;
    Json now = to_json(set_.entries[number]);
    now.update(settings_);
    const std::string other = difference(*before, now);
    check<UsageError>(other.empty(), manifest.string(), ": these pictures were made with other settings (", other,
                      "): --resume needs the same, or choose a new --out");
    if (!fs::exists(set_.folder / image)) continue;
    done_[number] = true;
    kept += text + "\n";
  }
  write_file(manifest, kept);
}

std::vector<size_t> SampleFolder::missing() const {
  std::vector<size_t> left;
  for (size_t i = 0; i < done_.size(); ++i) {
    if (!done_[i]) left.push_back(i);
  }
  return left;
}

void SampleFolder::add(size_t number, const Tensor& picture) {
  ManifestWriter(set_.folder).add(picture, set_.entries[number], settings_);
  done_[number] = true;
}

}  // namespace palate
