// A file of tensors, whatever wrote it: safetensors, or torch.save's .bin, .ckpt, .pt and .pth, told apart by their first bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "palate/core/tensor.h"
#include "palate/io/safetensors.h"

namespace palate {

class TensorFile {
 public:
  // Maps the file and reads its table; no pickle is ever executed (pickle_reader.h says how its tensors are named). Errors as
  // SafetensorsFile's.
  explicit TensorFile(const std::filesystem::path& path);
  ~TensorFile();
  TensorFile(TensorFile&&) noexcept;

  const std::vector<std::string>& names() const;  // in the file's order
  bool contains(const std::string& name) const;
  std::vector<int64_t> shape(const std::string& name) const;  // FormatError when there is no such tensor
  std::string dtype(const std::string& name) const;           // as safetensors names it: "F32", "BF16", ...
  // Contiguous; a view into the mapping where it lies so in the file. Writing to it never reaches the file.
  Tensor tensor(const std::string& name) const;
  void forget(const std::string& name) const;  // as SafetensorsFile's
  const Metadata& metadata() const;
  const std::filesystem::path& path() const;
  bool pickled() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace palate
