// What a model is personalised with, and how captions speak of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "palate/io/json.h"

namespace palate {

// A subject has a word of its own, "<dog-1>", which is learned and stands for the class noun "dog": the base model is asked for the noun. A
// style is named by words that captions have anyway ("flat cartoon illustration"), and the base model is asked the same.
struct Concept {
  bool style = false;
  std::string word;  // "<dog-1>"; of a style, the words that name it
  std::string noun;  // "dog"; of a style, what stands in the words' place for a judge that does not know the style ("": nothing)

  std::string own(const std::string& caption) const;     // the caption with the word, whether it has the word or the noun
  std::string base(const std::string& caption) const;    // what the base model is asked
  std::string judged(const std::string& caption) const;  // what the picture shows besides, in words that everybody knows
};

// "<dog-1>" for "dog" and "toy dog".
std::string default_word(const std::string& noun);

// Where `words` stand in the text as words of their own (not within another one), in any case.
std::vector<size_t> places_of(const std::string& text, const std::string& words);

// Prompts to look at the model with: those of DreamBooth's evaluation (arXiv 2208.12242, supplement), for living subjects or for things;
// for a style what it could be applied to. `WORD` is already in them.
std::vector<std::string> default_prompts(const Concept& concept_);

Json to_json(const Concept& concept_);
Concept concept_from(const Json& json);

}  // namespace palate
