#include "palate/world/render.h"

#include <torch/types.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "palate/world/caption.h"
#include "palate/world/prompts.h"

namespace palate::world {
namespace {

constexpr double last = static_cast<double>(side - 1), middle = last / 2;

double sample_radius(const Object& object, Generator& generator) { return (object.size == 0 ? 4.8 : 7.2) + generator.uniform(-0.3, 0.3); }

// A gamma variate of shape 2: the sum of two exponentials.
double gamma2(Generator& generator) { return -std::log1p(-generator.uniform()) - std::log1p(-generator.uniform()); }

Placement place_single(const Scene& scene, Generator& generator) {
  const double radius = sample_radius(scene.objects[0], generator);
  const double margin = radius + 1, x = generator.uniform(margin, last - margin);
  return {x, generator.uniform(margin, last - margin), radius};
}

void crop(std::vector<Placement>& places, Generator& generator) {
  Placement& at = places[static_cast<size_t>(generator.below(static_cast<int64_t>(places.size())))];
  for (double* coordinate : {&at.x, &at.y}) {
    if (generator.uniform() >= 0.5) *coordinate = *coordinate < 16 ? -1 : static_cast<double>(side);
  }
}

WebPicture draw_web_picture(const Odds& odds, Generator& generator) {
  const Scene scene = sample_scene(odds, generator);
  auto places = place(scene, generator);
  if (generator.uniform() < odds.crop) crop(places, generator);
  WebPicture example;
  example.picture = render(scene, places);
  if (generator.uniform() < odds.flaw) example.picture = flawed(example.picture, odds.striped, generator);
  example.caption = caption(generator.uniform() < odds.wrong_caption ? misremember(scene, generator) : scene);
  return example;
}

}  // namespace

float signed_distance(int shape, float x, float y, float r) {
  const float ax = std::fabs(x), ay = std::fabs(y);
  switch (shape) {
    case 0:
      return std::hypot(x, y) - r;
    case 1:
      return std::max(ax, ay) - r * 0.88f;
    case 2:
      return std::max(y - 0.8f * r, (ax * 1.8f - (y + r) * 0.95f) / std::hypot(1.8f, 0.95f));  // apex up
    case 3:
      return std::min(std::max(ax - r, ay - 0.32f * r), std::max(ax - 0.32f * r, ay - r));
    default:
      return std::fabs(std::hypot(x, y) - 0.72f * r) - 0.28f * r;
  }
}

std::vector<Placement> place(const Scene& scene, Generator& generator) {
  if (scene.objects.size() == 1) return {place_single(scene, generator)};
  const std::array<double, 2> radius = {sample_radius(scene.objects[0], generator), sample_radius(scene.objects[1], generator)};
  // Along the main axis: gap, object, gap, object, gap; the gaps share what is left as a Dirichlet(2, 2, 2).
  const size_t first = scene.relation % 2 == 0 ? 0 : 1, second = 1 - first;
  const double a = gamma2(generator), b = gamma2(generator), c = gamma2(generator);
  const double free = (last - 2 * (radius[0] + radius[1])) / (a + b + c);
  std::array<double, 2> along{}, across{};
  along[first] = a * free + radius[first];
  along[second] = along[first] + radius[first] + b * free + radius[second];
  for (const size_t k : {first, second}) across[k] = std::clamp(middle + 2.5 * generator.normal(), radius[k] + 1, last - radius[k] - 1);
  std::vector<Placement> places;
  for (size_t k = 0; k < 2; ++k) {
    places.push_back(scene.relation < 2 ? Placement{along[k], across[k], radius[k]} : Placement{across[k], along[k], radius[k]});
  }
  return places;
}

Tensor render(const Scene& scene, const std::vector<Placement>& places) {
  Tensor picture = torch::empty({3, side, side}, torch::kFloat);
  float* out = picture.data_ptr<float>();
  const auto& ground = palette[6 + static_cast<size_t>(scene.background)];
  for (size_t channel = 0; channel < 3; ++channel) std::fill_n(out + channel * side * side, side * side, ground[channel]);
  for (size_t k = 0; k < places.size(); ++k) {
    const auto& colour = palette[static_cast<size_t>(scene.objects[k].colour)];
    const auto cx = static_cast<float>(places[k].x), cy = static_cast<float>(places[k].y), r = static_cast<float>(places[k].radius);
    for (int64_t y = 0; y < side; ++y) {
      for (int64_t x = 0; x < side; ++x) {
        const float distance = signed_distance(scene.objects[k].shape, static_cast<float>(x) - cx, static_cast<float>(y) - cy, r);
        const float cover = std::clamp(0.5f - distance, 0.f, 1.f);
        if (cover == 0) continue;
        for (size_t channel = 0; channel < 3; ++channel) {
          float& pixel = out[static_cast<int64_t>(channel) * side * side + y * side + x];
          pixel = pixel * (1 - cover) + cover * colour[channel];
        }
      }
    }
  }
  return picture;
}

Tensor blurred(const Tensor& picture, double sigma) {
  constexpr int64_t reach = 3;
  std::array<double, 2 * reach + 1> taps{};
  double sum = 0;
  for (int64_t i = -reach; i <= reach; ++i) {
    const double x = static_cast<double>(i) / sigma;
    sum += taps[static_cast<size_t>(i + reach)] = std::exp(-0.5 * x * x);
  }
  const auto pass = [&](const Tensor& from, int64_t dim) {
    Tensor to = torch::zeros_like(from);
    for (int64_t i = -reach; i <= reach; ++i) {
      const Tensor index = (torch::arange(side) + i).clamp(0, side - 1);
      to.add_(from.index_select(dim, index), taps[static_cast<size_t>(i + reach)] / sum);
    }
    return to;
  };
  return pass(pass(picture, 1), 2).clamp_(0, 1);
}

Tensor grainy(const Tensor& picture, double sigma, Generator& generator) {
  return (picture + generator.normal(picture.sizes().vec()) * sigma).clamp_(0, 1);
}

Tensor striped(const Tensor& picture, double height, double period, double phase, bool across) {
  const Tensor wave =
      ((torch::arange(side, torch::kDouble) / period + phase) * (2 * std::numbers::pi)).sin().mul_(height).to(torch::kFloat);
  return (picture + (across ? wave.view({1, side, 1}) : wave.view({1, 1, side}))).clamp_(0, 1);
}

Tensor flawed(const Tensor& picture, double share, Generator& generator) {
  const double pick = generator.uniform(), others = 1 - share;
  if (pick < others / 2) return blurred(picture, generator.uniform(0.6, 1.0));
  if (pick < others) {
    const double sigma = generator.uniform(0.05, 0.1);
    return grainy(picture, sigma, generator);
  }
  const double height = generator.uniform(0.08, 0.13), period = generator.uniform(6, 10), phase = generator.uniform();
  return striped(picture, height, period, phase, generator.below(2) == 0);
}

WebPicture web_picture(const Odds& odds, Generator& generator) {
  for (;;) {
    WebPicture example = draw_web_picture(odds, generator);
    if (split_of(example.caption) == Split::train) return example;
  }
}

}  // namespace palate::world
