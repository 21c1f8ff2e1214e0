#include "palate/core/generator.h"

#include <torch/types.h>

#include <cmath>
#include <numeric>

#include "palate/core/error.h"

namespace palate {
namespace {

uint64_t splitmix(uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> c, std::array<uint32_t, 2> k) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * c[0];
    const uint64_t b = uint64_t{0xCD9E8D57u} * c[2];
    c = {static_cast<uint32_t>(b >> 32) ^ c[1] ^ k[0], static_cast<uint32_t>(b), static_cast<uint32_t>(a >> 32) ^ c[3] ^ k[1],
         static_cast<uint32_t>(a)};
    k[0] += 0x9E3779B9u;
    k[1] += 0xBB67AE85u;
  }
  return c;
}

}  // namespace

uint64_t mix(uint64_t a, uint64_t b) { return splitmix(splitmix(a) ^ (b * 0xD6E8FEB86659FD93ull + 0x2545F4914F6CDD1Dull)); }

uint64_t stable_hash(std::string_view text) {
  uint64_t h = 0xCBF29CE484222325ull;
  for (const unsigned char c : text) h = (h ^ c) * 0x100000001B3ull;
  return splitmix(h);
}

Generator::Generator(const Key& key) {
  // The four fields become 128 bits: 64 of them key the cipher, 64 are the upper half of the counter.
  const uint64_t low = mix(mix(key.seed, static_cast<uint64_t>(key.purpose)), key.sample);
  const uint64_t high = mix(low, key.draw);
  key_ = {static_cast<uint32_t>(low), static_cast<uint32_t>(low >> 32)};
  counter_ = {0, 0, static_cast<uint32_t>(high), static_cast<uint32_t>(high >> 32)};
  block_ = {};
}

uint32_t Generator::next() {
  if (used_ == 4) {
    block_ = philox(counter_, key_);
    if (++counter_[0] == 0) ++counter_[1];
    used_ = 0;
  }
  return block_[used_++];
}

double Generator::uniform() {
  const uint64_t high = next();
  const uint64_t low = next();
  return static_cast<double>(((high << 32) | low) >> 11) * 0x1.0p-53;
}

double Generator::uniform(double low, double high) { return low + (high - low) * uniform(); }

double Generator::normal() {
  if (has_spare_) {
    has_spare_ = false;
    return spare_;
  }
  const double radius = std::sqrt(-2.0 * std::log1p(-uniform()));
  const double angle = 2.0 * M_PI * uniform();
  spare_ = radius * std::sin(angle);
  has_spare_ = true;
  return radius * std::cos(angle);
}

int64_t Generator::below(int64_t limit) {
  check(limit >= 1, "[generator] below: expected a limit of at least 1, got ", limit);
  const uint64_t n = static_cast<uint64_t>(limit);
  const uint64_t last = UINT64_MAX - UINT64_MAX % n;  // reject the tail so that every value is equally likely
  for (;;) {
    const uint64_t high = next();
    const uint64_t value = (high << 32) | next();
    if (value < last) return static_cast<int64_t>(value % n);
  }
}

Tensor Generator::normal(const std::vector<int64_t>& sizes) {
  Tensor out = torch::empty(sizes, torch::kFloat32);
  float* p = out.data_ptr<float>();
  for (int64_t i = 0, n = out.numel(); i < n; ++i) p[i] = static_cast<float>(normal());
  return out;
}

Tensor Generator::uniform(const std::vector<int64_t>& sizes) {
  Tensor out = torch::empty(sizes, torch::kFloat32);
  float* p = out.data_ptr<float>();
  for (int64_t i = 0, n = out.numel(); i < n; ++i) p[i] = static_cast<float>(next() >> 8) * 0x1.0p-24f;
  return out;
}

std::vector<int64_t> Generator::permutation(int64_t count) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), int64_t{0});
  for (int64_t i = count - 1; i > 0; --i) std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(below(i + 1))]);
  return order;
}

}  // namespace palate
