// safetensors files: a memory-mapped reader that refuses hostile input, and a writer equal, byte for byte, to the
// reference's (huggingface/safetensors, safetensors/src/tensor.rs). Rules: docs/formats.md, section 1.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "palate/core/tensor.h"

namespace palate {

using Metadata = std::map<std::string, std::string>;
using TensorMap = std::map<std::string, Tensor>;

class SafetensorsFile {
 public:
  // Maps the file. FormatError for anything that the rules refuse, a Git LFS pointer and a truncated file among it
  // (each with its own sentence); IoError when the file cannot be opened.
  explicit SafetensorsFile(const std::filesystem::path& path);
  ~SafetensorsFile();
  SafetensorsFile(SafetensorsFile&&) noexcept;

  const std::vector<std::string>& names() const;  // in the order of the data
  bool contains(const std::string& name) const;
  std::vector<int64_t> shape(const std::string& name) const;
  std::string dtype(const std::string& name) const;  // as in the header: "F32", "BF16", ...
  // A view into the mapping, which lives as long as any of its tensors. Copy-on-write: writing to it never reaches
  // the file. FormatError when the name is missing or the dtype has no tensor type here.
  Tensor tensor(const std::string& name) const;
  // Hands the tensor's pages back to the system once it was copied, so that a loading model is not held twice. What was
  // written to its views is lost; a later read finds the file's bytes again.
  void forget(const std::string& name) const;
  const Metadata& metadata() const;
  const std::filesystem::path& path() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// libtorch's type for a header's dtype ("F32"); empty when it has none.
std::optional<c10::ScalarType> torch_type(const std::string& dtype);

// Writes the file under a temporary name, syncs, renames. Tensors are brought to the CPU and made contiguous.
void save_safetensors(const std::filesystem::path& path, const TensorMap& tensors, const Metadata& metadata = {});

}  // namespace palate
