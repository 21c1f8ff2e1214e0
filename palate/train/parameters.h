// What a task trains: named float32 tensors, in groups that may have a rate of their own. Where a model computes in bf16 and is trained
// whole, each of its weights has a float32 master here, and the model holds its rounding.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "palate/core/tensor.h"

namespace torch::nn {
class Module;
}

namespace palate {

class Parameters {
 public:
  struct Group {
    double lr = 0;                   // peak rate; 0: the run's
    std::vector<std::string> names;  // of the whole run's tensors no two are called alike
    std::vector<Tensor> values;      // contiguous float32
    std::vector<Tensor> held = {};   // what the model computes with; empty: the values themselves, which are leaves with gradients
  };
  void add(Group group);
  // Every weight of a model, trained in float32 in its place.
  void add(const std::string& prefix, torch::nn::Module& module);

  const std::vector<Group>& groups() const { return groups_; }
  const std::vector<std::string>& names() const { return names_; }  // of all groups
  const std::vector<Tensor>& values() const { return values_; }
  int64_t count() const;  // numbers in all of them

  void collect();                                           // after each backward: takes the gradients that models hold into float32
  std::vector<Tensor> gradients(const Group& group) const;  // float32, one a value; undefined where there is none
  void clear_gradients();
  void publish();  // after values changed: the models compute with them

 private:
  std::vector<Group> groups_;
  std::vector<std::string> names_;
  std::vector<Tensor> values_;
  std::vector<std::vector<Tensor>> sums_;  // of each group's gradients so far; empty where autograd adds them up itself
};

}  // namespace palate
