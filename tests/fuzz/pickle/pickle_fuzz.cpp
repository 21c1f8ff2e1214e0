#include <set>

#include "palate/io/pickle_reader.h"
#include "palate/io/safetensors_header.h"
#include "tests/fuzz/targets.h"

void palate::fuzz::pickle(std::string_view bytes) {
  const PickleContents contents = parse_pickle_file(bytes, "fuzz");
  std::set<std::string> names;
  uint64_t total = 0;
  for (const auto& entry : contents.entries) {
    // What is accepted may be read: from the first element to the last it lies inside the file.
    const uint64_t width = safetensors_bits(entry.dtype) / 8;
    uint64_t count = 1, extent = 1;
    for (size_t i = 0; i < entry.shape.size(); ++i) {
      promise(entry.shape[i] >= 0 && entry.strides[i] >= 0, "a side or a stride is negative");
      count *= static_cast<uint64_t>(entry.shape[i]);
      extent += entry.shape[i] > 0 ? static_cast<uint64_t>(entry.shape[i] - 1) * static_cast<uint64_t>(entry.strides[i]) : 0;
    }
    promise(width > 0, "a tensor has no known dtype");
    promise(entry.extent == (count == 0 ? 0 : extent), "a tensor's extent is not that of its shape and strides");
    promise(entry.begin <= bytes.size() && entry.extent * width <= bytes.size() - entry.begin, "a tensor reaches outside the file");
    promise(names.insert(entry.name).second, "a name comes twice");
    total += count * width;
  }
  promise(total <= 8 * bytes.size() + (1u << 20), "tensors are much larger than the file");
}
