// The policy's values as they were at some step: a reference that moves.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "palate/core/tensor.h"

namespace palate {

class Snapshot {
 public:
  // Of tensors that a network computes with (adapters' values, or all weights); they outlive this.
  explicit Snapshot(std::vector<Tensor> values);
  void take();  // the kept values become the present ones
  // Under a name of its own, to the bit.
  void save(std::map<std::string, Tensor>& tensors) const;
  void load(const std::map<std::string, Tensor>& tensors);

  // While it lives, the network computes with the kept values. Not within a graph that a backward pass goes through.
  class Swapped {
   public:
    explicit Swapped(Snapshot& snapshot) : snapshot_(snapshot) { snapshot_.swap(); }
    ~Swapped() { snapshot_.swap(); }
    Swapped(const Swapped&) = delete;
    Swapped& operator=(const Swapped&) = delete;

   private:
    Snapshot& snapshot_;
  };

 private:
  void swap();
  std::vector<Tensor> values_, kept_;
};

}  // namespace palate
