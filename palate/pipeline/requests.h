// Prompts to requests: what is asked of every model that is compared, sampled or labelled.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "palate/pipeline/pipeline.h"

namespace palate {

// `pictures` requests for each prompt, one after the other. The id of a prompt's k-th picture, and so its noise, depends on prompt and k
// alone: every model draws it from the same noise, whatever else it draws.
std::vector<GenerateRequest> paired_requests(const std::vector<std::string>& prompts, int64_t pictures = 1);

std::vector<std::string> prompts_of(const std::vector<GenerateRequest>& requests);

}  // namespace palate
