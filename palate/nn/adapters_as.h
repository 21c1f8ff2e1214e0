// Private to nn/: a backward pass that reruns a forward must see the adapters as that forward saw them.
#pragma once

namespace palate {

// While it lives, adapters of this thread are on or off as said; AdaptersOff is the public half of it.
class AdaptersAs {
 public:
  explicit AdaptersAs(bool on);
  ~AdaptersAs();
  AdaptersAs(const AdaptersAs&) = delete;

 private:
  bool before_;
};

}  // namespace palate
