// Devices and number types by the names that people write: "cpu", "cuda", "cuda:1"; "float32", "bf16", "fp16".
#pragma once

#include <string>
#include "palate/core/tensor.h"

namespace palate {

// Throws UsageError for an unknown name, and for "cuda" where libtorch's CUDA library or a driver is missing.
// The first "cuda" loads libtorch_cuda.so from beside libtorch_cpu.so: one binary serves both.
c10::Device parse_device(const std::string& name);

// float32 | fp32 | bf16 | bfloat16 | fp16 | float16; UsageError for any other.
c10::ScalarType parse_dtype(const std::string& name);
std::string dtype_name(c10::ScalarType dtype);

// Threads for a run: `requested`, or with 0 what OMP_NUM_THREADS or the machine's cores say.
void set_threads(int64_t requested);

// The same while it lives; then it is as many as before.
class ThreadCount {
 public:
  explicit ThreadCount(int64_t requested);
  ~ThreadCount();
  ThreadCount(const ThreadCount&) = delete;
  ThreadCount& operator=(const ThreadCount&) = delete;

 private:
  int before_;
};

// Bytes: the peak that was resident so far, and what this machine has in all.
int64_t peak_resident_bytes();
int64_t total_memory_bytes();

// The instruction sets that matter for speed, as one line ("avx512f avx512_bf16 amx_bf16").
std::string cpu_features();

}  // namespace palate
