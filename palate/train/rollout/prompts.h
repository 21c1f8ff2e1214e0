// rollout.prompts: what pictures are made of.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace palate {

// Entries of rollout.prompts to prompts: an entry that ends with .txt is a file with one a line, "world" and "world:N" are training prompts
// of the embedded world (256 without a number), any other is a prompt. UsageError for a file that is missing, or a number of prompts that
// the world does not have.
std::vector<std::string> read_rollout_prompts(const std::vector<std::string>& entries);

// Which of `count` prompts an epoch takes, `wanted` of them: each once before any comes again.
std::vector<int64_t> drawn_prompts(int64_t count, int64_t wanted, uint64_t seed, int64_t epoch);

}  // namespace palate
