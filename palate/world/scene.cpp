#include "palate/world/scene.h"

namespace palate::world {
namespace {

template <class Table>
int pick(const Table& table, Generator& generator) {
  return static_cast<int>(generator.below(static_cast<int64_t>(table.size())));
}

Object sample_object(Generator& generator) {
  Object object;
  object.shape = pick(shapes, generator);
  object.colour = pick(colours, generator);
  object.size = pick(sizes, generator);
  return object;
}

std::vector<Object> all_objects() {
  std::vector<Object> all;
  for (size_t shape = 0; shape < shapes.size(); ++shape) {
    for (size_t colour = 0; colour < colours.size(); ++colour) {
      for (size_t size = 0; size < sizes.size(); ++size) {
        all.push_back({static_cast<int>(shape), static_cast<int>(colour), static_cast<int>(size)});
      }
    }
  }
  return all;
}

}  // namespace

void Odds::visit(Fields& f) {
  const Limits share{.min = 0, .max = 1};
  f("two", two, "share of scenes with two objects", share);
  f("flaw", flaw, "share of pictures that are striped, blurred or grainy", share);
  f("striped", striped, "share of the flawed pictures that are striped; of the others half are blurred and half are grainy", share);
  f("wrong_caption", wrong_caption, "share of captions with one wrong attribute", share);
  f("crop", crop, "share of pictures in which an object runs over the edge", share);
}

Scene sample_scene(const Odds& odds, Generator& generator) {
  Scene scene;
  const bool two = generator.uniform() < odds.two;
  scene.objects.push_back(sample_object(generator));
  if (two) {
    Object second = sample_object(generator);
    while (second.colour == scene.objects[0].colour) second = sample_object(generator);
    scene.objects.push_back(second);
    scene.relation = pick(relations, generator);
  }
  scene.background = pick(backgrounds, generator);
  return scene;
}

std::vector<Scene> single_scenes() {
  std::vector<Scene> all;
  for (const Object& object : all_objects()) {
    for (int background = 0; background < 3; ++background) all.push_back({{object}, -1, background});
  }
  return all;
}

std::vector<Scene> double_scenes() {
  std::vector<Scene> all;
  for (const Object& first : all_objects()) {
    for (const Object& second : all_objects()) {
      if (first.colour == second.colour) continue;
      for (int relation = 0; relation < 4; ++relation) {
        for (int background = 0; background < 3; ++background) all.push_back({{first, second}, relation, background});
      }
    }
  }
  return all;
}

}  // namespace palate::world
