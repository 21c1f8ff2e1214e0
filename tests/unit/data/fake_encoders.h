// Encoders that need no model: latents are 4x4 block means, text states a hash of the prompt.
#pragma once

#include <torch/types.h>

#include <chrono>
#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "palate/core/generator.h"
#include "palate/data/cache/encoders.h"
#include "palate/data/cache/pair_cache.h"
#include "palate/data/pairs.h"
#include "palate/io/image.h"
#include "tests/support/paths.h"

namespace palate::test {

// A picture of one tone.
inline std::string png(uint8_t tone, int64_t height = 8, int64_t width = 8) {
  return encode_png(torch::full({3, height, width}, tone, torch::kByte));
}

// The cached rows of both splits, in order.
inline std::vector<int64_t> all_rows(const PairCache& cache) {
  auto rows = cache.rows(Split::train);
  const auto& held = cache.rows(Split::held_out);
  rows.insert(rows.end(), held.begin(), held.end());
  std::sort(rows.begin(), rows.end());
  return rows;
}

struct FakeEncoders : Encoders {
  double std = 0.1;          // of the posterior
  bool composition = false;  // values depend on the batch that an image is in, as rounding does in a real model
  bool broken = false;       // values are not finite
  int milliseconds = 0;      // extra time per call
  bool xl = false;           // wants time ids
  std::string name = "fake";
  int64_t encoded_images = 0, encoded_prompts = 0;

  std::string identity() override { return name; }
  int64_t sample_size() override { return 4; }
  int64_t factor() override { return 4; }
  double scaling_factor() override { return 0.5; }
  bool takes_time_ids() override { return xl; }

  static Tensor means(const Tensor& pixels) {
    const auto s = pixels.sizes();
    return (pixels.to(torch::kFloat) / 127.5 - 1).view({s[0], 3, s[2] / 4, 4, s[3] / 4, 4}).mean(torch::IntArrayRef{3, 5});
  }

  Posterior images(const Tensor& pixels) override {
    encoded_images += pixels.size(0);
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    Tensor mean = means(pixels);
    if (composition) mean = mean + 0.001 * static_cast<double>(pixels.size(0)) + 0.01 * torch::arange(pixels.size(0)).view({-1, 1, 1, 1});
    if (broken) mean = mean / 0;
    return {mean, torch::full_like(mean, 2 * std::log(std))};
  }

  static Tensor states(const std::string& prompt) { return Generator({0, stable_hash(prompt), 0, Purpose::test}).normal({1, 5, 6}); }

  Condition prompts(const std::vector<std::string>& prompts) override {
    encoded_prompts += static_cast<int64_t>(prompts.size());
    std::vector<Tensor> rows;
    for (const std::string& prompt : prompts) rows.push_back(states(prompt));
    return {{"encoder_hidden_states", torch::cat(rows)}};
  }
};

// The golden parquet file: 12 rows, rows 3 and 8 tie, row 7's jpg_1 is cut short, row 10 has no label.
inline DataConfig golden_config() {
  DataConfig config;
  config.pairs = {golden("data_pickapic.parquet").string()};
  config.skip_bad = true;
  return config;
}

template <class Run>
std::string error_of(const Run& run) {
  try {
    run();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

inline bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace palate::test
