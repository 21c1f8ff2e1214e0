// The embedded world: 32x32 pictures of one or two flat coloured shapes, with captions. Small enough that a text-to-image
// model of it trains on one core, rich enough that such a model has something to get wrong.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "palate/config/fields.h"
#include "palate/core/generator.h"

namespace palate::world {

constexpr int64_t side = 32;  // pixels

inline constexpr std::array<const char*, 5> shapes = {"circle", "square", "triangle", "cross", "ring"};
inline constexpr std::array<const char*, 6> colours = {"red", "orange", "yellow", "green", "blue", "purple"};
inline constexpr std::array<const char*, 2> sizes = {"small", "big"};
inline constexpr std::array<const char*, 3> backgrounds = {"black", "grey", "white"};
inline constexpr std::array<const char*, 4> relations = {"left of", "right of", "above", "below"};

// The palette, in [0, 1]: six colours, then three backgrounds.
inline constexpr std::array<std::array<float, 3>, 9> palette = {{{220 / 255.f, 40 / 255.f, 40 / 255.f},
                                                                 {245 / 255.f, 140 / 255.f, 25 / 255.f},
                                                                 {240 / 255.f, 225 / 255.f, 50 / 255.f},
                                                                 {50 / 255.f, 170 / 255.f, 70 / 255.f},
                                                                 {45 / 255.f, 90 / 255.f, 225 / 255.f},
                                                                 {155 / 255.f, 60 / 255.f, 195 / 255.f},
                                                                 {20 / 255.f, 20 / 255.f, 24 / 255.f},
                                                                 {128 / 255.f, 128 / 255.f, 128 / 255.f},
                                                                 {240 / 255.f, 240 / 255.f, 240 / 255.f}}};

// Indices into the tables above.
struct Object {
  int shape = 0, colour = 0, size = 0;
  bool operator==(const Object&) const = default;
};

struct Scene {
  std::vector<Object> objects;  // one or two
  int relation = -1;            // of the first to the second; -1 with one object
  int background = 0;
  bool operator==(const Scene&) const = default;
};

// How often training data shows what.
struct Odds {
  double two = 0.4;             // two objects
  double flaw = 0.75;           // striped, blurred or grainy
  double striped = 0.6;         // of the flawed; the others are blurred or grainy, as often
  double wrong_caption = 0.05;  // one attribute of the caption is wrong
  double crop = 0.03;           // an object runs over the edge

  void visit(Fields& f);
};

// The two objects of a scene differ in colour.
Scene sample_scene(const Odds& odds, Generator& generator);

// Every scene that can be asked for: 180 with one object, 36000 with two.
std::vector<Scene> single_scenes();
std::vector<Scene> double_scenes();

}  // namespace palate::world
