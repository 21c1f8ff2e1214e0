#include "palate/world/oracle.h"

#include <torch/types.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <cmath>
#include <limits>

#include "palate/core/error.h"
#include "palate/world/render.h"

namespace palate::world {
namespace {

constexpr int64_t grid = 12, pixels = side * side;
constexpr int64_t smallest_patch = 14, big_extent = 12;
constexpr double fitting_iou = 0.6;
using Mask = std::bitset<pixels>;
using GridMask = std::bitset<grid * grid>;

struct Box {
  int64_t top = side, left = side, bottom = 0, right = 0;  // bottom and right are one past the end
};

Box bounds(const Mask& mask) {
  Box box;
  for (int64_t i = 0; i < pixels; ++i) {
    if (!mask[static_cast<size_t>(i)]) continue;
    box.top = std::min(box.top, i / side);
    box.bottom = std::max(box.bottom, i / side + 1);
    box.left = std::min(box.left, i % side);
    box.right = std::max(box.right, i % side + 1);
  }
  return box;
}

// The mask in a 12 x 12 grid over the square around its bounding box.
GridMask normalised(const Mask& mask, const Box& box) {
  const double extent = static_cast<double>(std::max(box.bottom - box.top, box.right - box.left));
  const auto cell = [&](int64_t low, int64_t high, int64_t i) {
    const double offset = (static_cast<double>(i) + 0.5) / static_cast<double>(grid) * extent - extent / 2;
    return static_cast<int64_t>(std::floor(static_cast<double>(low + high) / 2 + offset));
  };
  GridMask out;
  for (int64_t i = 0; i < grid; ++i) {
    const int64_t y = cell(box.top, box.bottom, i);
    for (int64_t j = 0; j < grid; ++j) {
      const int64_t x = cell(box.left, box.right, j);
      const bool inside = y >= 0 && y < side && x >= 0 && x < side;
      out[static_cast<size_t>(i * grid + j)] = inside && mask[static_cast<size_t>(y * side + x)];
    }
  }
  return out;
}

using Templates = std::array<std::array<GridMask, 3>, shapes.size()>;

const Templates& templates() {
  static const Templates made = [] {
    Templates all;
    constexpr std::array<float, 3> radii = {4.8f, 7.2f, 11.f};
    for (size_t shape = 0; shape < shapes.size(); ++shape) {
      for (size_t k = 0; k < radii.size(); ++k) {
        Mask mask;
        for (int64_t i = 0; i < pixels; ++i) {
          const float x = static_cast<float>(i % side) - 15.5f, y = static_cast<float>(i / side) - 15.5f;
          mask[static_cast<size_t>(i)] = signed_distance(static_cast<int>(shape), x, y, radii[k]) < 0;
        }
        all[shape][k] = normalised(mask, bounds(mask));
      }
    }
    return all;
  }();
  return made;
}

Patch describe(const Mask& mask, int colour) {
  Patch patch;
  patch.object.colour = colour;
  patch.area = static_cast<int64_t>(mask.count());
  for (int64_t i = 0; i < pixels; ++i) {
    if (!mask[static_cast<size_t>(i)]) continue;
    patch.x += static_cast<double>(i % side);
    patch.y += static_cast<double>(i / side);
  }
  patch.x /= static_cast<double>(patch.area);
  patch.y /= static_cast<double>(patch.area);
  const Box box = bounds(mask);
  patch.object.size = std::max(box.bottom - box.top, box.right - box.left) >= big_extent ? 1 : 0;
  const GridMask seen = normalised(mask, box);
  for (size_t shape = 0; shape < shapes.size(); ++shape) {
    for (const GridMask& known : templates()[shape]) {
      const double iou = static_cast<double>((seen & known).count()) / static_cast<double>((seen | known).count());
      if (iou > patch.iou) {
        patch.iou = iou;
        patch.object.shape = static_cast<int>(shape);
      }
    }
  }
  return patch;
}

// Takes the 4-connected component at `start` out of `left`.
Mask take_component(Mask& left, int64_t start) {
  Mask component;
  std::vector<int64_t> open = {start};
  left[static_cast<size_t>(start)] = false;
  while (!open.empty()) {
    const int64_t at = open.back();
    open.pop_back();
    component[static_cast<size_t>(at)] = true;
    const auto visit = [&](bool inside, int64_t next) {
      if (!inside || !left[static_cast<size_t>(next)]) return;
      left[static_cast<size_t>(next)] = false;
      open.push_back(next);
    };
    visit(at % side > 0, at - 1);
    visit(at % side < side - 1, at + 1);
    visit(at >= side, at - side);
    visit(at < pixels - side, at + side);
  }
  return component;
}

// Nearest palette entry of every pixel; returns the mean distance.
double classify(const float* picture, std::array<uint8_t, pixels>& nearest) {
  double sum = 0;
  for (int64_t i = 0; i < pixels; ++i) {
    float best = std::numeric_limits<float>::infinity();
    for (size_t c = 0; c < palette.size(); ++c) {
      const float r = picture[i] - palette[c][0], g = picture[pixels + i] - palette[c][1], b = picture[2 * pixels + i] - palette[c][2];
      const float distance = r * r + g * g + b * b;
      if (distance < best) {
        best = distance;
        nearest[static_cast<size_t>(i)] = static_cast<uint8_t>(c);
      }
    }
    sum += std::sqrt(best);
  }
  return sum / static_cast<double>(pixels);
}

int border_background(const std::array<uint8_t, pixels>& nearest) {
  std::array<int, backgrounds.size()> votes{};
  const auto vote = [&](int64_t i) {
    const int c = nearest[static_cast<size_t>(i)] - static_cast<int>(colours.size());
    if (c >= 0) ++votes[static_cast<size_t>(c)];
  };
  for (int64_t k = 0; k < side; ++k) {
    vote(k);
    vote(pixels - side + k);
    vote(k * side);
    vote(k * side + side - 1);
  }
  return static_cast<int>(std::max_element(votes.begin(), votes.end()) - votes.begin());
}

bool relation_holds(int relation, const Patch& a, const Patch& b) {
  const double dx = b.x - a.x, dy = b.y - a.y;
  switch (relation) {
    case 0:
      return dx > 3 && std::fabs(dx) > std::fabs(dy);
    case 1:
      return dx < -3 && std::fabs(dx) > std::fabs(dy);
    case 2:
      return dy > 3 && std::fabs(dy) > std::fabs(dx);
    default:
      return dy < -3 && std::fabs(dy) > std::fabs(dx);
  }
}

// The checks of the objects under one matching; nullptr: no patch for this object.
struct Match {
  int colour = 0, shape = 0, size = 0, place = 0;  // how many hold
  double iou = 0;                                  // summed over the objects
  int total() const { return colour + shape + size + place; }
};

Match match(const Scene& scene, const std::array<const Patch*, 2>& chosen) {
  Match m;
  for (size_t k = 0; k < scene.objects.size(); ++k) {
    if (chosen[k] == nullptr) continue;
    const Object &asked = scene.objects[k], &found = chosen[k]->object;
    m.colour += found.colour == asked.colour;
    m.shape += found.shape == asked.shape && chosen[k]->iou > fitting_iou;
    m.size += found.size == asked.size;
    m.iou += chosen[k]->iou;
  }
  if (scene.relation >= 0) m.place = chosen[0] != nullptr && chosen[1] != nullptr && relation_holds(scene.relation, *chosen[0], *chosen[1]);
  return m;
}

Match best_match(const Scene& scene, const std::vector<Patch>& patches) {
  std::vector<const Patch*> candidates;
  for (const Patch& patch : patches) candidates.push_back(&patch);
  candidates.push_back(nullptr);
  const std::vector<const Patch*> nobody = {nullptr};
  Match best;
  for (const Patch* first : candidates) {
    for (const Patch* second : scene.objects.size() == 2 ? candidates : nobody) {
      if (first != nullptr && first == second) continue;
      const Match m = match(scene, {first, second});
      if (m.total() > best.total() || (m.total() == best.total() && m.iou > best.iou)) best = m;
    }
  }
  return best;
}

}  // namespace

Seen look(const Tensor& picture) {
  check(picture.scalar_type() == torch::kFloat && picture.dim() == 3 && picture.size(0) == 3 && picture.size(1) == side &&
            picture.size(2) == side,
        "[oracle] expected a float32 picture of shape [3, 32, 32], got ", show_shape(picture.sizes()));
  const Tensor contiguous = picture.contiguous();
  std::array<uint8_t, pixels> nearest{};
  Seen seen;
  seen.appeal = std::exp(-classify(contiguous.data_ptr<float>(), nearest) / 0.06);
  seen.background = border_background(nearest);
  for (size_t colour = 0; colour < colours.size(); ++colour) {
    Mask left;
    for (size_t i = 0; i < static_cast<size_t>(pixels); ++i) left[i] = nearest[i] == colour;
    for (int64_t i = 0; i < pixels; ++i) {
      if (!left[static_cast<size_t>(i)]) continue;
      const Mask component = take_component(left, i);
      if (static_cast<int64_t>(component.count()) >= smallest_patch) seen.patches.push_back(describe(component, static_cast<int>(colour)));
    }
  }
  return seen;
}

Verdict verdict(const Scene& scene, const Seen& seen) {
  const Match best = best_match(scene, seen.patches);
  const auto objects = static_cast<double>(scene.objects.size());
  constexpr double not_asked = std::numeric_limits<double>::quiet_NaN();
  Verdict v;
  v.background = seen.background == scene.background;
  v.count = seen.patches.size() == scene.objects.size();
  v.colour = best.colour / objects;
  v.shape = best.shape / objects;
  v.size = best.size / objects;
  v.relation = scene.relation >= 0 ? best.place : not_asked;
  v.appeal = seen.appeal;
  v.iou = best.iou / objects;
  v.acc = (v.background + v.count + best.total()) / (2 + 3 * objects + (scene.relation >= 0 ? 1 : 0));
  v.strict = v.acc == 1;
  v.reward = 5 * v.acc + 3 * v.appeal + v.iou;
  return v;
}

Verdict verdict(const Scene& scene, const Tensor& picture) { return verdict(scene, look(picture)); }

}  // namespace palate::world
