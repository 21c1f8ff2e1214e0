#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <unordered_map>

#include "palate/cli/flag_checks.h"
#include "palate/cli/sample_flags.h"
#include "palate/core/error.h"
#include "palate/io/atomic_file.h"
#include "palate/io/manifest.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

fs::path manifest_of(const SampleFlags& flags) { return manifest_file(flags.out); }

std::string picture_name(size_t request) {
  char name[32];
  std::snprintf(name, sizeof name, "%05zu.png", request);
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

SampleFolder::SampleFolder(const SampleFlags& flags, const std::vector<GenerateRequest>& requests,
                           const std::pair<std::string, std::string>& network_hash)
    : flags_(flags), requests_(requests), network_hash_(network_hash), done_(requests.size(), false) {
  if (flags_.resume && fs::exists(manifest_of(flags_))) {
    read_manifest();
  } else {
    check_new_folder(flags_.out);
    made_ = !fs::exists(flags_.out);
    make_folder(flags_.out);
  }
}

SampleFolder::~SampleFolder() {
  std::error_code ignored;
  if (made_) fs::remove(flags_.out, ignored);  // which does nothing unless it is empty: what failed before the first picture leaves nothing
}

void SampleFolder::read_manifest() {
  std::unordered_map<std::string, size_t> numbers;
  for (size_t i = 0; i < requests_.size(); ++i) numbers[picture_name(i)] = i;
  std::string kept;
  std::stringstream lines(read_file(manifest_of(flags_)));
  for (std::string text; std::getline(lines, text);) {
    const auto before = parse_line(text);
    if (!before) continue;
    const std::string image = manifest_entry(*before, manifest_of(flags_).string()).image;
    const auto known = numbers.find(image);
    check<UsageError>(known != numbers.end(), manifest_of(flags_).string(), ": has a line for ", image, ", but ", requests_.size(),
                      requests_.size() == 1 ? " picture is" : " pictures are",
                      " asked for: --resume goes on with the same prompts and --count");
    const size_t request = known->second;
    Json now = to_json(entry(request));
    now.update(settings());
    const std::string other = difference(*before, now);
    check<UsageError>(other.empty(), manifest_of(flags_).string(), ": these pictures were made with other settings (", other,
                      "): --resume needs the same, or choose a new --out");
    if (!fs::exists(fs::path(flags_.out) / picture_name(request))) continue;
    done_[request] = true;
    kept += text + "\n";
  }
  write_file(manifest_of(flags_), kept);
}

std::vector<size_t> SampleFolder::missing() const {
  std::vector<size_t> left;
  for (size_t i = 0; i < done_.size(); ++i) {
    if (!done_[i]) left.push_back(i);
  }
  return left;
}

void SampleFolder::add(size_t request, const Tensor& picture) {
  ManifestWriter(flags_.out).add(picture, entry(request), settings());
  done_[request] = true;
}

ManifestEntry SampleFolder::entry(size_t request) const {
  return {picture_name(request), requests_[request].prompt, requests_[request].id, flags_.sampling.seed};
}

// How every picture of the folder is made.
Json SampleFolder::settings() const {
  const GenerateOptions& s = flags_.sampling;
  return {{"model", flags_.model},
          {network_hash_.first, network_hash_.second},
          {"lora", flags_.lora},
          {"embeddings", flags_.embeddings},
          {"negative_prompt", s.negative},
          {"prompt_weights", flags_.style.weights},
          {"long_prompts", flags_.style.chunks},
          {"scheduler", s.sampler},
          {"steps", s.steps},
          {"guidance_scale", s.guidance_scale},
          {"guidance_rescale", s.guidance_rescale},
          {"guidance", flags_.guidance},
          {"reward_weight", s.reward_weight.value_or(0)},
          {"base_prompt", s.base_prompt},
          {"init_image", flags_.init_image},
          {"mask", flags_.mask},
          {"strength", flags_.init_image.empty() ? 1 : s.strength},
          {"height", s.height},
          {"width", s.width},
          {"vae_tiling", flags_.tiling},
          {"latents", flags_.latents},
          {"dtype", flags_.dtype}};
}

}  // namespace palate
