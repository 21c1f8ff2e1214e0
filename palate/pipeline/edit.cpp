#include "palate/pipeline/edit.h"

#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/core/log.h"
#include "palate/io/image.h"
#include "palate/io/safetensors.h"

namespace palate {
namespace fs = std::filesystem;

Tensor read_mask(const fs::path& file, int64_t height, int64_t width) {
  Tensor mask = read_image(file);
  if (mask.size(1) != height || mask.size(2) != width) {
    warn(file.string(), ": is ", mask.size(2), "x", mask.size(1), " and the picture ", width, "x", height, ": the mask is stretched to it");
    mask = resize_image(mask, height, width, Filter::lanczos);
  }
  const Tensor wide = mask.to(torch::kInt64),
               grey = (wide[0] * 19595 + wide[1] * 38470 + wide[2] * 7471 + 32768).bitwise_right_shift(torch::tensor(16));
  const Tensor white = (grey.to(torch::kFloat32) / 255 >= 0.5).to(torch::kFloat32);
  check<UsageError>(white.any().item<bool>(), file.string(), ": the mask is black everywhere: paint white what is to be made anew");
  return white.unsqueeze(0).unsqueeze(0);
}

void set_init_image(GenerateOptions& options, Pipeline& pipeline, const fs::path& picture, const fs::path& mask_file) {
  for (const fs::path& file : {picture, mask_file})
    check<UsageError>(file.empty() || fs::exists(file), file.string(), ": there is no such picture");
  Tensor image = read_image(picture);
  const int64_t factor = pipeline.factor();
  const auto side = [&](int64_t asked, int64_t own) { return asked > 0 ? asked : own / factor * factor; };
  const int64_t height = side(options.height, image.size(1)), width = side(options.width, image.size(2));
  check<UsageError>(height > 0 && width > 0, picture.string(), ": is smaller than one latent of ", factor,
                    " pixels: expected a larger picture, or --height and --width");
  if (height != image.size(1) || width != image.size(2)) image = resize_image(image, height, width, Filter::lanczos);
  options.height = height;
  options.width = width;
  options.init_latents = pipeline.to_latents(pipeline.encode_images(image.unsqueeze(0)), {});
  if (mask_file.empty()) return;
  const Tensor mask = read_mask(mask_file, height, width);
  options.mask = mask.slice(2, 0, std::nullopt, factor).slice(3, 0, std::nullopt, factor).contiguous();
  if (pipeline.takes_mask()) options.masked_latents = pipeline.to_latents(pipeline.encode_images(image.unsqueeze(0), 1 - mask), {});
}

void set_latents(GenerateOptions& options, const fs::path& path, size_t count) {
  const SafetensorsFile file(path);
  check<UsageError>(file.contains("latents"), path.string(), ": expected a tensor named 'latents', found ",
                    file.names().size() > 8 ? concat(file.names().size(), " others") : one_of(file.names()));
  const Tensor latents = file.tensor("latents").to(torch::kFloat32);
  check<UsageError>(latents.dim() == 4 && latents.size(0) == static_cast<int64_t>(count), path.string(), ": expected latents [", count,
                    ", C, H, W], one row a picture, found ", show_shape(latents.sizes()));
  options.starting_noise = latents;
  if (file.contains("step_noise")) options.step_noise = file.tensor("step_noise").to(torch::kFloat32);
}

}  // namespace palate
