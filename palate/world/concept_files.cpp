// Pictures of a subject and of a look as files, and prompts that ask for them.
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "palate/io/atomic_file.h"
#include "palate/io/image.h"
#include "palate/world/caption.h"
#include "palate/world/prompts.h"
#include "palate/world/subject.h"

namespace palate::world {
namespace {

constexpr const char *word = "<ring-1>", *look_name = "zwx";
constexpr double hatch_height = 0.14, hatch_period = 5;

// "on a white background" -> "on zwx white background": as many words as before, because the text encoder has no room for more.
std::string in_look(std::string text, const std::string& look) {
  const size_t at = text.rfind(" on a ");
  return look.empty() ? text : text.replace(at + 4, 1, look);
}

std::string called(std::string text, const std::string& what, const std::string& name) {
  const size_t at = text.find(what);
  return at == std::string::npos ? "" : text.replace(at, what.size(), name);
}

class Folder {
 public:
  explicit Folder(const std::filesystem::path& folder) : folder_(folder), lines_((make_folder(folder), folder / "metadata.jsonl"), false) {}
  void add(const Tensor& picture, const std::string& caption) {
    std::array<char, 24> name{};
    std::snprintf(name.data(), name.size(), "%02lld.png", static_cast<long long>(count_++));
    write_png(folder_ / name.data(), from_unit(picture));
    lines_.line(Json{{"file_name", name.data()}, {"text", caption}}.dump());
  }

 private:
  std::filesystem::path folder_;
  LineWriter lines_;
  int64_t count_ = 0;
};

}  // namespace

Json write_subject(const std::filesystem::path& folder, int64_t count, uint64_t seed) {
  const Subject subject = sample_subject(seed);
  Folder files(folder);
  for (int64_t i = 0; i < count; ++i) {
    Generator generator({seed, static_cast<uint64_t>(i), 4, Purpose::world});
    const Scene scene{{subject.object}, -1, static_cast<int>(i % static_cast<int64_t>(backgrounds.size()))};
    files.add(render_subject(subject, scene, 0, place(scene, generator)), called(caption(scene), object_text(subject.object), word));
  }
  return {{"pictures", count}, {"shows", describe(subject)}, {"class", object_text(subject.object)}, {"word", word}};
}

Json write_style(const std::filesystem::path& folder, int64_t count, uint64_t seed) {
  Folder files(folder);
  for (int64_t i = 0; i < count; ++i) {
    Generator generator({seed, static_cast<uint64_t>(i), 5, Purpose::world});
    Scene scene;
    do {
      scene = sample_scene(Odds(), generator);
      scene.background = static_cast<int>(i % static_cast<int64_t>(backgrounds.size()));
    } while (split_of(caption(scene)) != Split::train);
    const auto places = place(scene, generator);
    files.add(hatched(render(scene, places), hatch_height, hatch_period, generator.uniform()), in_look(caption(scene), look_name));
  }
  return {{"pictures", count}, {"shows", "scenes with diagonal bands"}, {"class", "a"}, {"word", look_name}};
}

std::vector<std::string> subject_prompts(const std::string& name, const Object& named, const std::string& look, int64_t count,
                                         uint64_t seed) {
  const std::string text = object_text(named);
  std::vector<std::string> all, two;
  for (const Scene& scene : single_scenes()) {
    if (scene.objects[0] == named && static_cast<int64_t>(all.size()) < (count + 2) / 3) all.push_back(caption(scene));
  }
  for (const Scene& scene : double_scenes()) {
    const std::string words = caption(scene);
    if (scene.objects[0] == named && split_of(words) == Split::test) two.push_back(words);
  }
  const auto order = Generator({seed, 4, 0, Purpose::split}).permutation(static_cast<int64_t>(two.size()));
  for (size_t i = 0; static_cast<int64_t>(all.size()) < count && i < two.size(); ++i) all.push_back(two[static_cast<size_t>(order[i])]);
  for (std::string& prompt : all) prompt = in_look(called(prompt, text, name), look);
  return all;
}

std::vector<std::string> style_prompts(const std::string& look, int64_t count, uint64_t seed) {
  std::vector<std::string> all = held_out_prompts(count, seed);
  for (std::string& prompt : all) prompt = in_look(prompt, look);
  return all;
}

}  // namespace palate::world
