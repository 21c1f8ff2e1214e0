#include <doctest/doctest.h>

#include <set>
#include <sstream>

#include "palate/core/error.h"
#include "palate/world/caption.h"
#include "palate/world/prompts.h"

using namespace palate;
using namespace palate::world;

TEST_CASE("captions: every scene has one of its own, and it reads back as the scene") {
  auto scenes = single_scenes();
  CHECK(scenes.size() == 180);  // 60 objects, 3 backgrounds
  const auto two = double_scenes();
  CHECK(two.size() == 36000);  // 60 x 50 objects of different colours, 4 relations, 3 backgrounds
  scenes.insert(scenes.end(), two.begin(), two.end());
  std::set<std::string> distinct;
  size_t wrong = 0;
  for (const Scene& scene : scenes) {
    const std::string text = caption(scene);
    distinct.insert(text);
    wrong += !(parse_caption(text) == scene);
  }
  CHECK(distinct.size() == scenes.size());
  CHECK(wrong == 0);
}

TEST_CASE("captions: the words stand as documented") {
  CHECK(caption({{{0, 0, 1}, {4, 4, 0}}, 0, 2}) == "a big red circle left of a small blue ring on a white background");
  CHECK(caption({{{2, 3, 0}}, -1, 0}) == "a small green triangle on a black background");
}

TEST_CASE("captions: what is no caption is refused with the word that does not fit") {
  const auto message = [](const char* text) {
    try {
      parse_caption(text);
    } catch (const DataError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(message("a big red cat on a white background").find("as word 4, found 'cat'") != std::string::npos);
  CHECK(message("a big red circle on a white").find("found the end") != std::string::npos);
  CHECK(message("a big red circle on a white background please").find("expected the end") != std::string::npos);
  CHECK(message("").find("expected 'a' as word 1") != std::string::npos);
}

TEST_CASE("captions: a wrong caption differs from the scene in one attribute at most, and often in one") {
  Generator generator({3, 0, 0, Purpose::test});
  const Scene scene{{{0, 0, 1}, {4, 4, 0}}, 0, 2};
  int changed = 0;
  for (int i = 0; i < 200; ++i) {
    const Scene wrong = misremember(scene, generator);
    int differences = wrong.relation != scene.relation;
    for (size_t k = 0; k < 2; ++k) {
      differences += wrong.objects[k].shape != scene.objects[k].shape;
      differences += wrong.objects[k].colour != scene.objects[k].colour;
      differences += wrong.objects[k].size != scene.objects[k].size;
    }
    CHECK(differences <= 1);
    CHECK(wrong.background == scene.background);
    changed += differences;
  }
  CHECK(changed > 150);  // a redrawn shape, colour or relation is the old one in 1/5, 1/6, 1/4 of the cases
  CHECK(changed < 200);
}
