// Contact sheets: pictures that a person looks at.
#pragma once

#include <cstdint>
#include <vector>

#include "palate/core/tensor_fwd.h"

namespace palate {

struct SheetOptions {
  int64_t columns = 6;  // pairs in a row
  int64_t scale = 0;    // whole-number magnification; 0: so that a picture is about 128 wide
};

// base | ours, pair by pair, of [N, 3, H, W] each, the winner framed in green; a tie has grey frames. gains[i] > margin: ours wins.
Tensor pair_sheet(const Tensor& base, const Tensor& ours, const std::vector<double>& gains, double margin,
                  const SheetOptions& options = {});

// Which pairs to show when there is room for `count`: evenly spread over the sorted gains, so that losses and ties are
// shown in their true share and nothing is picked by hand. A gain that is no number (a picture without a score) is left out.
std::vector<int64_t> spread(const std::vector<double>& gains, int64_t count);

}  // namespace palate
