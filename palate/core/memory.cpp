#include "palate/core/memory.h"

#include <malloc.h>

#include <cstddef>

// jemalloc's, where the program is linked with it.
extern "C" int mallctl(const char* name, void* old, size_t* old_size, void* now, size_t now_size) __attribute__((weak));

namespace palate {

void give_back_memory() {
  if (mallctl) {
    mallctl("arena.4096.purge", nullptr, nullptr, nullptr, 0);  // 4096 stands for all arenas
  } else {
    malloc_trim(0);
  }
}

}  // namespace palate
