// libFuzzer's entry: PALATE_FUZZ_TARGET is one of the functions of targets.h.
#include <cstdint>

#include "palate/core/error.h"
#include "tests/fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    palate::fuzz::PALATE_FUZZ_TARGET({reinterpret_cast<const char*>(data), size});
  } catch (const palate::Error&) {
  }
  return 0;
}
