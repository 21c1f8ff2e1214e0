// Each judge's constructor, for the table.
#pragma once

#include "palate/judge/judge.h"

namespace palate {

std::unique_ptr<Judge> make_oracle();

}  // namespace palate
