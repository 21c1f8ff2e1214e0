// Values that a reference computed, compared so that the comparison holds on every machine.
//
// Processors round float32 differently (wider vectors, other orders of a sum, fused multiply-adds), and how far apart that leaves
// two right results depends on what is computed: 1e-7 for a sampler's step, 1e-5 for a gradient through a softmax. A bound that is
// typed in is either below that, and fails elsewhere, or so far above it that it hides faults. So a golden file says in its metadata,
// by tensor, how far the reference itself in float32 is from the value there (tests/golden/golden_file.py: from its own float64, or
// from itself under settings that round as other processors do), and Palate may be as far off, times `slack`.
//
//   const test::GoldenFile golden("pipeline.safetensors");
//   golden.expect("text", states.text);
#pragma once

#include <map>
#include <string>

#include "palate/core/tensor_fwd.h"

namespace palate::test {

class GoldenFile {
 public:
  // Our sums run in another order than the reference's, and one machine's error is one draw of many.
  static constexpr double slack = 4;

  explicit GoldenFile(const std::string& name);

  const Tensor& at(const std::string& key) const;
  bool contains(const std::string& key) const { return values_.contains(key); }
  const std::map<std::string, Tensor>& values() const { return values_; }

  // The reference's error times `slack`, but at least `own`: what our order of operations may cost on any machine.
  double bound(const std::string& key, double own = 1e-6) const;
  bool close(const std::string& key, const Tensor& got, double own = 1e-6) const;
  // expect_close with that bound.
  void expect(const std::string& key, const Tensor& got, double own = 1e-6) const;

 private:
  std::map<std::string, Tensor> values_;
  std::map<std::string, double> errors_;
};

}  // namespace palate::test
