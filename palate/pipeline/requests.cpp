#include "palate/pipeline/requests.h"

#include "palate/core/generator.h"

namespace palate {

std::vector<GenerateRequest> paired_requests(const std::vector<std::string>& prompts, int64_t pictures) {
  std::vector<GenerateRequest> requests;
  for (const auto& prompt : prompts) {
    for (int64_t k = 0; k < pictures; ++k) requests.push_back({prompt, mix(stable_hash(prompt), static_cast<uint64_t>(k))});
  }
  return requests;
}

std::vector<std::string> prompts_of(const std::vector<GenerateRequest>& requests) {
  std::vector<std::string> prompts;
  for (const auto& request : requests) prompts.push_back(request.prompt);
  return prompts;
}

}  // namespace palate
