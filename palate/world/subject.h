// A thing and a look that the base model has never seen, for personalisation: pictures of them with captions, and what the oracle says of
// pictures that should show them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "palate/core/tensor.h"
#include "palate/io/json.h"
#include "palate/world/oracle.h"
#include "palate/world/render.h"

namespace palate::world {

// An object with a middle of another colour, which no caption of the world can ask for.
struct Subject {
  Object object;
  int core = -1;  // colour of the patch in its middle; -1: none
  bool operator==(const Subject&) const = default;
};
std::string describe(const Subject& subject);  // "a big purple ring with an orange middle"
// A big ring of some colour with a core of another one: 30 of them.
Subject sample_subject(uint64_t seed);
// The scene with the subject as its object `which`. float32 [3, 32, 32] in [0, 1], as the places are.
Tensor render_subject(const Subject& subject, const Scene& scene, size_t which, const std::vector<Placement>& places);

// Diagonal bands, brighter and darker: a look that is not among the world's flaws, whose stripes run along the picture or across.
Tensor hatched(const Tensor& picture, double height, double period, double phase);

// What pictures of a subject have in common: of the patch that is most like `named`, the commonest colour, shape, size and core.
Subject subject_of(const std::vector<Tensor>& pictures, const Object& named);

// Shares of the checks that hold, in [0, 1]. subject: its colour, shape, size, that something is in its middle, and of what colour (without
// a core: that nothing is). prompt: background, number of objects, and of the other object colour, shape, size and relation.
struct SubjectVerdict {
  double subject = 0, prompt = 0;
  bool core = false;  // the middle is as it should be
};
// `which`: the object of the scene that is the subject. Patches are matched so that most checks hold.
SubjectVerdict subject_verdict(const Subject& subject, const Scene& scene, size_t which, const Seen& seen);

// Spectrum of what a picture's brightness has besides flat palette colours: float64 [32, 17], magnitudes. A picture's look without its
// place.
Tensor texture(const Tensor& picture);
// The part of the pictures' common texture that another picture has, in [0, 1]: its projection onto the bins that carry most of it.
class Texture {
 public:
  explicit Texture(const std::vector<Tensor>& pictures);
  double share(const Tensor& picture) const;

 private:
  Tensor spectrum_;
};

// FOLDER/00.png ... and metadata.jsonl, a caption each: `count` pictures of the seed's subject alone, called <ring-1>, on each background
// in turn; or of scenes of the training split in a look that captions call zwx. Returns what was drawn and how to personalise with it.
Json write_subject(const std::filesystem::path& folder, int64_t count, uint64_t seed);
Json write_style(const std::filesystem::path& folder, int64_t count, uint64_t seed);

// Captions that ask for an object called `word` (a subject), and in the look called `look` where that is not "": "a WORD left of a small
// red circle on LOOK white background". Distinct: the object alone on each background (at most a third), and pairs of the test split, as
// they read with `named` in its place.
std::vector<std::string> subject_prompts(const std::string& word, const Object& named, const std::string& look, int64_t count,
                                         uint64_t seed);
// Captions of the test split in that look.
std::vector<std::string> style_prompts(const std::string& look, int64_t count, uint64_t seed);

}  // namespace palate::world
