// What sampling starts from besides noise: a picture to edit, with a mask, and latents of a file.
#pragma once

#include <cstddef>
#include <filesystem>

#include "palate/pipeline/pipeline.h"

namespace palate {

// PICTURE into options.init_latents (the posterior's mean), at the size that the options ask for or its own, cut to whole latents as
// diffusers does; height and width become that size. MASK ("": none) into options.mask, and options.masked_latents for a model that is made
// for inpainting: white where the picture is made anew. UsageError for a file that is not there, a picture smaller than one latent, or a
// mask that is black everywhere.
void set_init_image(GenerateOptions& options, Pipeline& pipeline, const std::filesystem::path& picture,
                    const std::filesystem::path& mask = {});

// [1, 1, height, width] of a picture: 1 where it is at least half white, as diffusers binarises a mask of Pillow's mode L. A mask of
// another size is stretched, with a warning.
Tensor read_mask(const std::filesystem::path& file, int64_t height, int64_t width);

// `latents` [count, C, H, W] of FILE (safetensors, as `palate sample --save-latents` or another program wrote it) into
// options.starting_noise, and `step_noise` [steps, count, C, H, W] into options.step_noise, where the file has it. UsageError for another
// number of rows than `count`.
void set_latents(GenerateOptions& options, const std::filesystem::path& file, size_t count);

}  // namespace palate
