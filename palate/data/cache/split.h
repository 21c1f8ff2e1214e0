// Which prompts are kept out of training.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace palate {

// One entry a prompt: true when it is held out. Each prompt's fate is keyed by (seed, hash of the prompt) alone, so it
// does not depend on the order of files or on what other prompts there are; prompts that differ in ASCII case or white
// space only are one (the model's tokenizer reads them alike). With share > 0 and at least two prompts, at least one is
// held out and at least one is not.
std::vector<bool> hold_out(const std::vector<std::string>& prompts, double share, uint64_t seed);

// Lower case (ASCII), runs of white space as one space, none at the ends.
std::string normal_prompt(std::string_view prompt);

}  // namespace palate
