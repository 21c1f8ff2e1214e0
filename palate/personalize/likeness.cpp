#include "palate/personalize/likeness.h"

#include <torch/types.h>

#include <algorithm>
#include <optional>

#include "palate/core/error.h"
#include "palate/io/image.h"
#include "palate/world/caption.h"
#include "palate/world/oracle.h"
#include "palate/world/subject.h"

namespace palate {
namespace {

constexpr int64_t own_prompts = 15;
constexpr uint64_t prompt_seed = 0;

bool of_the_world(const Given& given) {
  for (const Tensor& picture : given.pictures) {
    if (picture.size(1) != world::side || picture.size(2) != world::side) return false;
  }
  try {
    for (const auto& caption : given.captions) world::parse_caption(given.concept_.judged(caption));
    if (!given.concept_.style) world::parse_object(given.concept_.noun);
  } catch (const DataError&) {
    return false;
  }
  return true;
}

std::vector<Tensor> in_unit(const std::vector<Tensor>& pictures) {
  std::vector<Tensor> all;
  for (const Tensor& picture : pictures) all.push_back(to_unit(picture));
  return all;
}

class WorldLikeness : public Likeness {
 public:
  WorldLikeness(const Given* subject, const Given* style) {
    if (subject) {
      concept_ = subject->concept_;
      named_ = world::parse_object(subject->concept_.noun);
      subject_ = world::subject_of(in_unit(subject->pictures), *named_);
    }
    if (!style) return;
    look_ = style->concept_;
    texture_.emplace(in_unit(style->pictures));
  }

  std::string describe() const override {
    std::string text;
    if (subject_) text = world::describe(*subject_);
    if (texture_) text += (text.empty() ? "" : " in ") + std::string("the texture of the given pictures");
    return text;
  }

  std::map<std::string, double> measure(const Tensor& picture, const std::string& prompt) const override {
    const Tensor values = to_unit(picture);
    std::string text = subject_ ? concept_.judged(prompt) : prompt;
    if (texture_) text = look_.judged(text);
    const world::Scene scene = world::parse_caption(text);
    std::map<std::string, double> found;
    if (texture_) found["style"] = texture_->share(values);
    if (!subject_) {
      found["prompt"] = world::verdict(scene, values).acc;
      return found;
    }
    const auto which = std::find(scene.objects.begin(), scene.objects.end(), *named_);
    check<UsageError>(which != scene.objects.end(), "[oracle] the prompt \"", prompt, "\" does not ask for ", concept_.word);
    const auto verdict = world::subject_verdict(*subject_, scene, static_cast<size_t>(which - scene.objects.begin()), world::look(values));
    found["subject"] = verdict.subject;
    found["prompt"] = verdict.prompt;
    return found;
  }

  std::vector<std::string> prompts() const override {
    const std::string look = texture_ ? look_.word : "";
    return subject_ ? world::subject_prompts(concept_.word, *named_, look, own_prompts, prompt_seed)
                    : world::style_prompts(look, own_prompts, prompt_seed);
  }

 private:
  Concept concept_, look_;
  std::optional<world::Object> named_;
  std::optional<world::Subject> subject_;
  std::optional<world::Texture> texture_;
};

}  // namespace

std::unique_ptr<Likeness> make_likeness(const Given& given) {
  if (!of_the_world(given)) return nullptr;
  return std::make_unique<WorldLikeness>(given.concept_.style ? nullptr : &given, given.concept_.style ? &given : nullptr);
}

std::unique_ptr<Likeness> make_likeness(const Given& subject, const Given& style) {
  if (!of_the_world(subject) || !of_the_world(style)) return nullptr;
  return std::make_unique<WorldLikeness>(&subject, &style);
}

}  // namespace palate
