// One function for each kind of file that strangers send. It returns or throws palate::Error, whatever the bytes: any other exception,
// a crash, or a result that breaks its own promises is a bug. Each is built twice: by libFuzzer (entry.cpp, PALATE_FUZZ=ON with clang), and
// into the test that replays seeds and fixed mutations of them (tests/unit/io/fuzz_replay_test.cpp).
#pragma once

#include <stdexcept>
#include <string_view>

namespace palate::fuzz {

void safetensors(std::string_view bytes);
void pickle(std::string_view bytes);
void json(std::string_view bytes);
void image(std::string_view bytes);
void parquet(std::string_view bytes);
void toml(std::string_view bytes);
void hub(std::string_view bytes);
void tar(std::string_view bytes);
void csv(std::string_view bytes);
void lora(std::string_view bytes);

// A promise that did not hold.
inline void promise(bool holds, const char* what) {
  if (!holds) throw std::logic_error(what);
}

}  // namespace palate::fuzz
