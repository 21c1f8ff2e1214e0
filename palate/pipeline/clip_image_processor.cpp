#include "palate/pipeline/clip_image_processor.h"

#include <torch/types.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/io/json.h"
#include "palate/models/config_reader.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

// 224, {"shortest_edge": 224} or {"height": 224, "width": 224}.
EdgeSize edge_size(const Json& config, const char* key, const EdgeSize& missing, const std::string& origin) {
  if (!config.contains(key) || config[key].is_null()) return missing;
  const Json& value = config[key];
  EdgeSize size;
  if (value.is_number_integer()) {
    size.shortest = value.get<int64_t>();
  } else {
    const ConfigReader r(value, concat(origin, ": ", key));
    size = {r.whole("shortest_edge", 0), r.whole("height", 0), r.whole("width", 0)};
  }
  const bool one = size.shortest > 0 && size.height == 0 && size.width == 0, two = size.shortest == 0 && size.height > 0 && size.width > 0;
  check<FormatError>(one || two, origin, ": '", key, "' must be a size, {\"shortest_edge\": S} or {\"height\": H, \"width\": W}, found ",
                     value.dump());
  return size;
}

Filter filter_of(const ConfigReader& config, const std::string& origin) {
  switch (config.whole("resample", 3)) {  // Pillow's numbers
    case 1:
      return Filter::lanczos;
    case 2:
      return Filter::bilinear;
    case 3:
      return Filter::bicubic;
    default:
      fail<UsageError>(origin, ": 'resample' = ", config.whole("resample", 3),
                       " is not supported, expected 1 (lanczos), 2 (bilinear) or 3 "
                       "(bicubic)");
  }
}

std::array<double, 3> per_channel(const Json& config, const char* key, const std::array<double, 3>& missing, const std::string& origin) {
  if (!config.contains(key) || config[key].is_null()) return missing;
  const Json& value = config[key];
  const bool three =
      value.is_array() && value.size() == 3 && std::all_of(value.begin(), value.end(), [](const Json& one) { return one.is_number(); });
  check<FormatError>(three, origin, ": '", key, "' must be three numbers, found ", value.dump());
  return {value[0].get<double>(), value[1].get<double>(), value[2].get<double>()};
}

// The settings, and the file that they are from.
std::pair<Json, std::string> processor_config(const fs::path& folder) {
  const fs::path own = folder / "preprocessor_config.json", shared = folder / "processor_config.json";
  if (fs::exists(own)) return {read_json(own), own.string()};
  if (fs::exists(shared)) {
    const Json json = read_json(shared);
    if (json.is_object() && json.contains("image_processor")) return {json["image_processor"], shared.string() + ": image_processor"};
  }
  return {Json::object(), own.string()};
}

}  // namespace

ClipImageProcessor::ClipImageProcessor(const fs::path& folder, int64_t side) {
  const auto [config, origin] = processor_config(folder);
  const ConfigReader r(config, origin);
  r.only("image_processor_type", {"CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPImageProcessorPil", "CLIPFeatureExtractor"});
  r.only("do_rescale", {true});
  resize_ = r.flag("do_resize", true);
  crop_ = r.flag("do_center_crop", true);
  normalize_ = r.flag("do_normalize", true);
  filter_ = filter_of(r, origin);
  scale_ = r.number("rescale_factor", scale_);
  mean_ = per_channel(config, "image_mean", mean_, origin);
  std_ = per_channel(config, "image_std", std_, origin);
  size_ = edge_size(config, "size", {.shortest = side}, origin);
  cut_ = edge_size(config, "crop_size", {.shortest = side}, origin);
  if (cut_.shortest > 0) cut_ = {.shortest = 0, .height = cut_.shortest, .width = cut_.shortest};
}

Tensor ClipImageProcessor::fit(const Tensor& picture) const {
  check<UsageError>(picture.dim() == 3 && picture.size(0) == 3 && picture.numel() > 0,
                    "[clip image processor] expected a picture of [3, H, W], got ", show_shape(picture.sizes()));
  Tensor fitted = picture;
  if (resize_) {
    int64_t height = size_.height, width = size_.width;
    if (size_.shortest > 0) {  // the longer edge is cut to a whole number, as Python's int() does
      const int64_t h = picture.size(1), w = picture.size(2), shortest = std::min(h, w);
      const auto longest = static_cast<int64_t>(static_cast<double>(size_.shortest * std::max(h, w)) / static_cast<double>(shortest));
      height = h <= w ? size_.shortest : longest;
      width = w <= h ? size_.shortest : longest;
    }
    if (height != picture.size(1) || width != picture.size(2)) fitted = resize_image(picture, height, width, filter_);
  }
  return crop_ ? crop(fitted) : fitted;
}

Tensor ClipImageProcessor::crop(const Tensor& picture) const {
  const int64_t height = picture.size(1), width = picture.size(2);
  const int64_t tall = std::max(height, cut_.height), wide = std::max(width, cut_.width);
  Tensor whole = picture;
  if (tall != height || wide != width) {
    whole = torch::zeros({3, tall, wide}, picture.options());
    whole.slice(1, (tall - height + 1) / 2, (tall - height + 1) / 2 + height)
        .slice(2, (wide - width + 1) / 2, (wide - width + 1) / 2 + width)
        .copy_(picture);
  }
  return whole.slice(1, (tall - cut_.height) / 2, (tall - cut_.height) / 2 + cut_.height)
      .slice(2, (wide - cut_.width) / 2, (wide - cut_.width) / 2 + cut_.width)
      .contiguous();
}

Tensor ClipImageProcessor::pixel_values(const Tensor& pictures) const {
  const Tensor values = (pictures.to(torch::kFloat64) * scale_).to(torch::kFloat32);
  if (!normalize_) return values;
  const auto channels = [&](const std::array<double, 3>& three) {
    return torch::tensor({three[0], three[1], three[2]}, torch::kFloat32).view({1, 3, 1, 1}).to(pictures.device());
  };
  return (values - channels(mean_)) / channels(std_);
}

std::string ClipImageProcessor::identity() const {
  std::string text = "clip image processor 1";
  if (resize_) text += concat(", resize ", size_.shortest, " ", size_.height, "x", size_.width, " filter ", static_cast<int>(filter_));
  if (crop_) text += concat(", crop ", cut_.height, "x", cut_.width);
  return text;
}

}  // namespace palate
