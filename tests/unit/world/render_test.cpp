#include <doctest/doctest.h>
#include <torch/types.h>

#include <cmath>

#include "palate/world/caption.h"
#include "palate/world/render.h"

using namespace palate;
using namespace palate::world;

TEST_CASE("render: background where nothing stands, the object's colour in its middle") {
  const Tensor picture = render(parse_caption("a big red square on a grey background"), {{10, 20, 7}});
  for (int64_t channel = 0; channel < 3; ++channel) {
    CHECK(picture[channel][20][10].item<float>() == palette[0][static_cast<size_t>(channel)]);
    CHECK(picture[channel][2][30].item<float>() == palette[7][static_cast<size_t>(channel)]);
  }
}

TEST_CASE("render: the coverage of a circle sums to its area") {
  const Tensor picture = render(parse_caption("a big red circle on a black background"), {{15.3, 16.1, 7}});
  const float ground = palette[6][0], colour = palette[0][0];
  const double area = ((picture[0] - ground) / (colour - ground)).sum().item<double>();
  CHECK(area == doctest::Approx(M_PI * 49).epsilon(0.01));
}

TEST_CASE("places: objects keep inside and stand as the caption says") {
  for (uint64_t i = 0; i < 300; ++i) {
    Generator generator({21, i, 0, Purpose::test});
    const Scene scene = sample_scene(Odds(), generator);
    const auto places = place(scene, generator);
    for (const Placement& at : places) {
      CHECK(at.x - at.radius >= -1e-9);
      CHECK(at.y - at.radius >= -1e-9);
      CHECK(at.x + at.radius <= 31 + 1e-9);
      CHECK(at.y + at.radius <= 31 + 1e-9);
    }
    switch (scene.relation) {
      case 0:
        CHECK(places[0].x + places[0].radius <= places[1].x - places[1].radius + 1e-9);
        break;
      case 1:
        CHECK(places[1].x + places[1].radius <= places[0].x - places[0].radius + 1e-9);
        break;
      case 2:
        CHECK(places[0].y + places[0].radius <= places[1].y - places[1].radius + 1e-9);
        break;
      case 3:
        CHECK(places[1].y + places[1].radius <= places[0].y - places[0].radius + 1e-9);
        break;
      default:
        CHECK(places.size() == 1);
    }
  }
}

TEST_CASE("flaws: blur keeps the mean of a flat picture, stripes are a sine, grain has the width that was asked for") {
  const Tensor flat = torch::full({3, side, side}, 0.25f);
  CHECK(blurred(flat, 1).allclose(flat));
  // Four whole periods of eight pixels: the mean stays, and a height h makes a standard deviation of h / sqrt(2).
  const Tensor bands = striped(flat, 0.1, 8, 0.3, true);
  CHECK(bands.mean().item<double>() == doctest::Approx(0.25));
  CHECK(bands.std(/*unbiased=*/false).item<double>() == doctest::Approx(0.1 / std::sqrt(2.0)));
  CHECK(bands.select(2, 5).equal(bands.select(2, 20)));  // across: every column is the same
  Generator generator({22, 0, 0, Purpose::test});
  const Tensor noise = grainy(torch::full({3, side, side}, 0.5f), 0.1, generator) - 0.5;
  CHECK(noise.std().item<double>() == doctest::Approx(0.1).epsilon(0.05));
}

TEST_CASE("web pictures: the same for the same key; flaws and wrong captions at the rates of the odds") {
  const auto at = [](const Odds& odds, uint64_t i) {
    Generator generator({23, i, 0, Purpose::world});
    return web_picture(odds, generator);
  };
  CHECK(at(Odds(), 4).picture.equal(at(Odds(), 4).picture));
  CHECK(at(Odds(), 4).caption == at(Odds(), 4).caption);
  int spoiled = 0;
  for (uint64_t i = 0; i < 400; ++i) {
    // Without flaws a pixel far from every edge has a palette colour; the corners are such pixels but for cropped objects.
    const Tensor corner = at(Odds(), i).picture.select(1, 0).select(1, 0);
    bool pure = false;
    for (const auto& colour : palette) {
      bool same = true;
      for (size_t c = 0; c < 3; ++c) same &= std::fabs(corner[static_cast<int64_t>(c)].item<float>() - colour[c]) < 1e-6f;
      pure |= same;
    }
    spoiled += !pure;
  }
  // Three quarters of the pictures have a flaw, and four fifths of these (240 of 400) change every pixel; clipping hides some on black and
  // white.
  CHECK(spoiled > 180);
  CHECK(spoiled < 290);
}
