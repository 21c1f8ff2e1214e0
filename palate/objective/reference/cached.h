#pragma once

#include <cstdint>

#include "palate/config/fields.h"

namespace palate {

struct CachedConfig {
  int64_t reference_draws = 8;

  void visit(Fields& f) {
    f("reference_draws", reference_draws, "draws of (t, noise) kept for each pair; a pair's later draws repeat them", {.min = 1});
  }
};

}  // namespace palate
