// Which files of a component's folder hold its weights.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace palate {

// `stem` is "diffusion_pytorch_model" or "model", `variant` "" or "fp16". In this order: STEM[.VARIANT].safetensors, the shards that
// STEM.safetensors.index[.VARIANT].json lists, then the same in torch's .bin, whose stem is "pytorch_model" where the first is "model".
// Without a variant and without plain weights, those of the only variant that is there are taken (a folder of `palate pull --variant`).
// UsageError when there are none, FormatError for an index that is none or that leaves the folder.
std::vector<std::filesystem::path> weight_files(const std::filesystem::path& folder, const std::string& stem, const std::string& variant);

}  // namespace palate
