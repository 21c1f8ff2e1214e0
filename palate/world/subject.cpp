#include "palate/world/subject.h"

#include <torch/types.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numbers>

#include "palate/core/error.h"
#include "palate/world/caption.h"

namespace palate::world {
namespace {

constexpr int ring = 4, big = 1;
constexpr double core_share = 0.5;  // of the radius: more, and the ring that is left is too thin for the oracle
constexpr double concentric = 2.5;  // pixels between centres

bool in_middle(const Patch& inner, const Patch& outer) {
  return inner.object.colour != outer.object.colour && inner.area < outer.area &&
         std::hypot(inner.x - outer.x, inner.y - outer.y) <= concentric;
}

const Patch* middle_of(const Patch& outer, const std::vector<Patch>& patches) {
  const auto found = std::find_if(patches.begin(), patches.end(), [&](const Patch& patch) { return in_middle(patch, outer); });
  return found == patches.end() ? nullptr : &*found;
}

int alike(const Object& a, const Object& b) { return (a.colour == b.colour) + (a.shape == b.shape) + (a.size == b.size); }

int commonest(const std::vector<int>& values) {
  std::map<int, int> votes;
  for (const int value : values) ++votes[value];
  return std::max_element(votes.begin(), votes.end(), [](const auto& a, const auto& b) { return a.second < b.second; })->first;
}

constexpr double fitting = 0.6;  // of a shape, as the oracle has it

int shape_checks(const Object& asked, const Patch& found) {
  return (found.object.colour == asked.colour) + (found.object.shape == asked.shape && found.iou > fitting) +
         (found.object.size == asked.size);
}

// Everything that is checked for one choice of patches; nullptr: nothing is there.
struct Choice {
  int subject = 0, prompt = 0;
  bool core = false;
  int total() const { return subject + prompt; }
};

bool stands(int relation, const Patch& first, const Patch& second) {
  const double dx = second.x - first.x, dy = second.y - first.y;
  const std::array<double, 4> along = {dx, -dx, dy, -dy};
  return along[static_cast<size_t>(relation)] > 3 && std::fabs(relation < 2 ? dx : dy) > std::fabs(relation < 2 ? dy : dx);
}

Choice weigh(const Subject& subject, const Scene& scene, size_t which, const Seen& seen, const Patch* own, const Patch* other) {
  const Patch* core = own ? middle_of(*own, seen.patches) : nullptr;
  const int core_colour = core ? core->object.colour : -1;
  Choice c;
  if (own) c.subject += shape_checks(subject.object, *own);
  c.core = own && core_colour == subject.core;
  if (subject.core >= 0) c.subject += (core != nullptr) + c.core;
  if (subject.core < 0) c.subject += c.core;
  c.prompt = (seen.background == scene.background) + (seen.patches.size() - (core ? 1 : 0) == scene.objects.size());
  if (scene.objects.size() < 2) return c;
  if (other) c.prompt += shape_checks(scene.objects[1 - which], *other);
  if (own && other) c.prompt += which == 0 ? stands(scene.relation, *own, *other) : stands(scene.relation, *other, *own);
  return c;
}

}  // namespace

std::string describe(const Subject& subject) {
  const std::string text = "a " + object_text(subject.object);
  if (subject.core < 0) return text;
  const std::string core = colours[static_cast<size_t>(subject.core)];
  return text + concat(" with ", core == "orange" ? "an " : "a ", core, " middle");
}

Subject sample_subject(uint64_t seed) {
  Generator generator({seed, 0, 3, Purpose::world});
  Subject subject{.object = {.shape = ring, .colour = 0, .size = big}, .core = 0};
  const auto count = static_cast<int64_t>(colours.size());
  subject.object.colour = static_cast<int>(generator.below(count));
  subject.core = static_cast<int>((subject.object.colour + 1 + generator.below(count - 1)) % count);
  return subject;
}

Tensor render_subject(const Subject& subject, const Scene& scene, size_t which, const std::vector<Placement>& places) {
  Scene drawn = scene;
  drawn.objects[which] = subject.object;
  auto at = places;
  if (subject.core >= 0) {
    drawn.objects.push_back({.shape = 0, .colour = subject.core, .size = 0});
    at.push_back({places[which].x, places[which].y, places[which].radius * core_share});
  }
  return render(drawn, at);
}

Tensor hatched(const Tensor& picture, double height, double period, double phase) {
  const Tensor steps = torch::arange(side, torch::kDouble);
  const Tensor wave = (((steps.view({1, side, 1}) + steps.view({1, 1, side})) / period + phase) * (2 * std::numbers::pi)).sin();
  return (picture + (wave * height).to(torch::kFloat)).clamp_(0, 1);
}

Subject subject_of(const std::vector<Tensor>& pictures, const Object& named) {
  std::vector<int> colour, shape, size, core;
  for (const Tensor& picture : pictures) {
    const Seen seen = look(picture);
    const Patch* best = nullptr;
    for (const Patch& patch : seen.patches) {
      if (!best || alike(patch.object, named) > alike(best->object, named)) best = &patch;
    }
    if (!best) continue;
    const Patch* middle = middle_of(*best, seen.patches);
    colour.push_back(best->object.colour), shape.push_back(best->object.shape), size.push_back(best->object.size);
    core.push_back(middle ? middle->object.colour : -1);
  }
  check<DataError>(!colour.empty(), "the oracle sees no object in any of the ", pictures.size(), " pictures");
  return {.object = {.shape = commonest(shape), .colour = commonest(colour), .size = commonest(size)}, .core = commonest(core)};
}

SubjectVerdict subject_verdict(const Subject& subject, const Scene& scene, size_t which, const Seen& seen) {
  std::vector<const Patch*> candidates = {nullptr};
  for (const Patch& patch : seen.patches) candidates.push_back(&patch);
  const std::vector<const Patch*> nobody = {nullptr};
  Choice best;
  for (const Patch* own : candidates) {
    for (const Patch* other : scene.objects.size() == 2 ? candidates : nobody) {
      if (own != nullptr && other != nullptr && (own == other || in_middle(*other, *own))) continue;
      const Choice choice = weigh(subject, scene, which, seen, own, other);
      if (choice.total() > best.total()) best = choice;
    }
  }
  const int of_subject = subject.core >= 0 ? 5 : 4, of_prompt = scene.objects.size() == 2 ? 6 : 2;
  return {
      .subject = static_cast<double>(best.subject) / of_subject, .prompt = static_cast<double>(best.prompt) / of_prompt, .core = best.core};
}

Tensor texture(const Tensor& picture) {
  std::vector<float> colours_flat;
  for (const auto& colour : palette) colours_flat.insert(colours_flat.end(), colour.begin(), colour.end());
  const Tensor known = torch::tensor(colours_flat).view({static_cast<int64_t>(palette.size()), 3});
  const Tensor pixels = picture.flatten(1).t();  // [1024, 3]
  const Tensor nearest = (pixels.unsqueeze(1) - known.unsqueeze(0)).square().sum(2).argmin(1);
  const Tensor rest = (pixels - known.index_select(0, nearest)).mean(1).view({side, side}).to(torch::kDouble);
  return at::fft_rfft2(rest - rest.mean()).abs();
}

Texture::Texture(const std::vector<Tensor>& pictures) {
  std::vector<Tensor> all;
  for (const Tensor& picture : pictures) all.push_back(texture(picture));
  const Tensor mean = torch::stack(all).mean(0);
  spectrum_ = mean * mean.ge(mean.max() / 2);
}

double Texture::share(const Tensor& picture) const {
  return std::clamp(((texture(picture) * spectrum_).sum() / spectrum_.square().sum()).item<double>(), 0.0, 1.0);
}

}  // namespace palate::world
