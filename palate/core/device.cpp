#include "palate/core/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "palate/core/error.h"

namespace palate {
namespace {

// libtorch registers its CUDA backend when the library is loaded, so the program itself need not link it.
bool load_cuda() {
  static const bool loaded = dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) != nullptr;
  return loaded && at::globalContext().hasCUDA();
}

}  // namespace

c10::Device parse_device(const std::string& name) {
  if (name == "cpu") return c10::Device(c10::kCPU);
  const bool cuda = name == "cuda" || name.rfind("cuda:", 0) == 0;
  check<UsageError>(cuda, "device: expected cpu, cuda or cuda:N, found '", name, "'");
  check<UsageError>(load_cuda(), "device: '", name,
                    "' needs libtorch's CUDA library and a driver, and one of them is missing: set PALATE_TORCH to a "
                    "libtorch with CUDA, or use device = \"cpu\"");
  return c10::Device(name);
}

c10::ScalarType parse_dtype(const std::string& name) {
  if (name == "float32" || name == "fp32") return c10::kFloat;
  if (name == "bf16" || name == "bfloat16") return c10::kBFloat16;
  if (name == "fp16" || name == "float16") return c10::kHalf;
  fail<UsageError>("dtype: expected float32, bf16 or fp16, found '", name, "'");
}

std::string dtype_name(c10::ScalarType dtype) {
  switch (dtype) {
    case c10::kFloat:
      return "float32";
    case c10::kBFloat16:
      return "bf16";
    case c10::kHalf:
      return "fp16";
    default:
      return c10::toString(dtype);
  }
}

void set_threads(int64_t requested) {
  if (requested > 0) at::set_num_threads(static_cast<int>(requested));
}

ThreadCount::ThreadCount(int64_t requested) : before_(at::get_num_threads()) { set_threads(requested); }
ThreadCount::~ThreadCount() { at::set_num_threads(before_); }

int64_t peak_resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

int64_t total_memory_bytes() { return int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE); }

std::string cpu_features() {
  std::ifstream file("/proc/cpuinfo");
  std::string line, found;
  while (std::getline(file, line) && line.rfind("flags", 0) != 0) {
  }
  std::istringstream words(line);
  for (std::string word; words >> word;) {
    for (const char* wanted : {"avx2", "avx512f", "avx512_bf16", "amx_bf16"}) {
      if (word == wanted) found += (found.empty() ? "" : " ") + word;
    }
  }
  return found;
}

}  // namespace palate
