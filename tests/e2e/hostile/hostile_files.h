// Files that strangers might send: none of them is what its name says. Each is made from a few bytes, so that the memory it takes
// to refuse it can be compared with its size.
#pragma once

#include <string>
#include <vector>

namespace palate::test {

struct HostileFile {
  std::string name;  // "zip-bomb.pt"; the ending counts
  std::string bytes;
};

std::vector<HostileFile> hostile_safetensors();
std::vector<HostileFile> hostile_pickles();
std::vector<HostileFile> hostile_loras();
std::vector<HostileFile> hostile_parquets();
std::vector<HostileFile> hostile_configs();  // TOML
std::vector<HostileFile> hostile_indices();  // diffusion_pytorch_model.safetensors.index.json of a folder unet/

// A sound file of float32 zeros of this shape under one name.
std::string safetensors_of(const std::string& header, const std::string& data);

}  // namespace palate::test
