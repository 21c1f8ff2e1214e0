#include "palate/io/safetensors_header.h"
#include "tests/fuzz/targets.h"

void palate::fuzz::safetensors(std::string_view bytes) {
  const SafetensorsHeader header = parse_safetensors_header(bytes, bytes.size(), "fuzz");
  // What is accepted may be mapped: the tensors lie side by side and fill the file.
  uint64_t at = header.data_start;
  for (const auto& entry : header.entries) {
    promise(header.data_start + entry.begin == at, "tensors are not side by side");
    uint64_t bits = safetensors_bits(entry.dtype);
    for (const int64_t side : entry.shape) bits *= static_cast<uint64_t>(side);
    promise(bits == 8 * (entry.end - entry.begin), "a tensor's shape is not its size");
    at = header.data_start + entry.end;
  }
  promise(at == bytes.size(), "tensors do not end where the file ends");
}
