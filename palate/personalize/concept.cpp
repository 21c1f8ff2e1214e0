#include "palate/personalize/concept.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "palate/core/text.h"

namespace palate {
namespace {

bool letter(char c) { return std::isalnum(static_cast<unsigned char>(c)) || static_cast<unsigned char>(c) >= 0x80; }

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto places = places_of(text, from);
  for (auto place = places.rbegin(); place != places.rend(); ++place) text.replace(*place, from.size(), to);
  if (!to.empty()) return text;
  for (size_t at; (at = text.find("  ")) != std::string::npos;) text.erase(at, 1);
  return std::string(stripped(text));
}

bool lives(const std::string& noun) {
  static const std::vector<std::string> living = {"dog",   "cat",  "puppy", "kitten", "person", "man",     "woman", "boy",   "girl",
                                                  "child", "baby", "horse", "bird",   "rabbit", "hamster", "cow",   "sheep", "pony"};
  const std::string last = lowered(noun.substr(noun.rfind(' ') + 1));
  return std::find(living.begin(), living.end(), last) != living.end();
}

}  // namespace

std::vector<size_t> places_of(const std::string& text, const std::string& words) {
  std::vector<size_t> places;
  if (words.empty()) return places;
  const std::string hay = lowered(text), needle = lowered(words);
  for (size_t at = hay.find(needle); at != std::string::npos; at = hay.find(needle, at + 1)) {
    const size_t end = at + needle.size();
    const bool within =
        (at > 0 && letter(hay[at - 1]) && letter(needle[0])) || (end < hay.size() && letter(hay[end]) && letter(needle.back()));
    const bool of_a_word = at > 0 && end < hay.size() && hay[at - 1] == '<' && needle[0] != '<';  // "dog" in "<dog-1>"
    if (!within && !of_a_word) places.push_back(at);
  }
  return places;
}

std::string Concept::own(const std::string& caption) const {
  return style || !places_of(caption, word).empty() ? caption : replaced(caption, noun, word);
}
std::string Concept::base(const std::string& caption) const { return style ? caption : replaced(caption, word, noun); }
std::string Concept::judged(const std::string& caption) const { return replaced(caption, word, noun); }

std::string default_word(const std::string& noun) {
  std::string last = lowered(noun.substr(noun.rfind(' ') + 1));
  std::erase_if(last, [](char c) { return !letter(c); });
  return "<" + (last.empty() ? "subject" : last) + "-1>";
}

std::vector<std::string> default_prompts(const Concept& concept_) {
  const std::string& w = concept_.word;
  if (concept_.style) {
    std::vector<std::string> all;
    for (const char* what : {"a cat", "a woman reading a book", "a house by a lake", "a bicycle", "a robot", "a bowl of fruit",
                             "a train in the mountains", "a city street at night"})
      all.push_back(std::string(what) + " in " + w + " style");
    return all;
  }
  std::vector<std::string> all = {"a " + w + " in the jungle",
                                  "a " + w + " in the snow",
                                  "a " + w + " on the beach",
                                  "a " + w + " on top of pink fabric",
                                  "a " + w + " on top of a wooden floor",
                                  "a " + w + " with a city in the background",
                                  "a " + w + " with a blue house in the background"};
  const std::vector<std::string> living = {"a " + w + " wearing a red hat", "a " + w + " in a firefighter outfit",
                                           "a " + w + " wearing pink glasses"},
                                 things = {"a " + w + " floating on top of water", "a cube shaped " + w,
                                           "a " + w + " on top of green grass with sunflowers around it"};
  const auto& more = lives(concept_.noun) ? living : things;
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

Json to_json(const Concept& concept_) {
  return {{"kind", concept_.style ? "style" : "subject"}, {"word", concept_.word}, {"class", concept_.noun}};
}

Concept concept_from(const Json& json) {
  return {.style = json.at("kind") == "style", .word = json.at("word").get<std::string>(), .noun = json.at("class").get<std::string>()};
}

}  // namespace palate
