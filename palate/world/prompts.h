// Which captions a model may see. The split is a property of the caption's text, so no list has to be kept.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace palate::world {

// The first 8 hexadecimal digits of the caption's MD5 as a number, modulo 5:
// 0 development (recipes are tuned on these), 1 test (nothing is ever tuned on these), else training.
enum class Split { train, development, test };
Split split_of(std::string_view caption);

enum class Kind { single, two, mixed };  // mixed: two prompts in five name a single object, as far as there are so many

// Distinct prompts, the same for the same arguments. UsageError when there are fewer.
std::vector<std::string> prompts(Split split, Kind kind, int64_t count, uint64_t seed);

// prompts() of the test split, mixed.
std::vector<std::string> held_out_prompts(int64_t count, uint64_t seed);

}  // namespace palate::world
