// What a prediction is conditioned on: named tensors, called as the arguments of the network's forward are in diffusers.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "palate/core/tensor.h"

namespace palate {

// One row a sample in each tensor. Whoever moves, cuts or stores a condition does so with all that is in it, so that a new argument of
// some network is written by the one who makes it and read by the one who uses it, and by nobody between them.
class Condition {
 public:
  Condition() = default;
  Condition(std::initializer_list<std::pair<const std::string, Tensor>> fields);

  // The tensor of that name, undefined where there is none. Setting an undefined tensor is taking the name away.
  Tensor operator[](const std::string& name) const;
  void set(const std::string& name, Tensor value);
  const std::map<std::string, Tensor>& fields() const { return fields_; }  // defined tensors alone
  bool empty() const { return fields_.empty(); }

  // On another device, and in a compute dtype: what is measured in whole units (sizes in pixels, labels, masks) keeps its own.
  Condition to(c10::Device device, c10::ScalarType dtype) const;
  Condition to(c10::Device device) const;
  Condition rows(int64_t first, int64_t count) const;
  Condition repeat(int64_t times) const;  // all rows, then all of them again, as cat of itself
  Condition zeros() const;                // the same shapes
  // What `other` has and this one has not is added: text states of one's own with the sizes that came with the picture.
  Condition with_missing_of(const Condition& other) const;
  // Along the rows. UsageError when they do not have the same names.
  static Condition cat(const std::vector<Condition>& parts);

 private:
  std::map<std::string, Tensor> fields_;
};

// The arguments that the networks here read. One line each in condition.cpp, with what it is.
const std::vector<std::string>& condition_names();

}  // namespace palate
