// Image and text similarity of personalised pictures. So far one judge is there, the embedded world's oracle; for pictures of other models
// there is none, and nothing is made up in its place.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "palate/core/tensor.h"
#include "palate/personalize/concept.h"

namespace palate {

// What a judge is shown: the pictures that the user gave, as uint8 [3, H, W], and their captions.
struct Given {
  Concept concept_;
  std::vector<Tensor> pictures;
  std::vector<std::string> captions;
};

class Likeness {
 public:
  virtual ~Likeness() = default;
  virtual std::string describe() const = 0;  // "a big purple ring with a yellow middle, as the given pictures have in common"
  // Of a picture (uint8 [3, H, W]) that the prompt asked for, each in [0, 1]: "subject" (of a style: "style"), how much it shows of what
  // the given pictures have in common, and "prompt", how much of the rest of the prompt.
  virtual std::map<std::string, double> measure(const Tensor& picture, const std::string& prompt) const = 0;
  // Prompts of its own world.
  virtual std::vector<std::string> prompts() const = 0;
};

// The oracle where all pictures and captions are the embedded world's; null elsewhere.
std::unique_ptr<Likeness> make_likeness(const Given& given);
// Of pictures that should show the subject in the style: "subject", "style" and "prompt". Null unless both are the embedded world's.
std::unique_ptr<Likeness> make_likeness(const Given& subject, const Given& style);

}  // namespace palate
