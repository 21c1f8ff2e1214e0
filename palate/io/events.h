// TensorBoard event files: scalars and PNG images (docs/formats.md, section 14).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "palate/core/tensor_fwd.h"

namespace palate {

class EventWriter {
 public:
  // Opens FOLDER/events.out.tfevents.<unix s>.<host>.<pid>.
  explicit EventWriter(const std::filesystem::path& folder);
  ~EventWriter();
  void scalar(std::string_view tag, double value, int64_t step);
  void image(std::string_view tag, const Tensor& image, int64_t step);  // uint8 [3, H, W]

 private:
  void record(const std::string& event);
  int file_ = -1;
  std::filesystem::path path_;
};

}  // namespace palate
