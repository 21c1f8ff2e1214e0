// What a file says of a single picture besides its caption: a thumb (kto), a reward (rwr), what the reference is asked for (dco).
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "palate/io/json.h"

namespace palate {

class PairSource;
struct DataConfig;

struct PictureNotes {
  double label = 0;  // 1: thumb up, -1: thumb down; 0: none
  double reward = std::numeric_limits<double>::quiet_NaN();
  std::string base_prompt;                // "": the prompt itself, in which a new word reads as its initializer
  std::string wrong_label, wrong_reward;  // what stands there instead of one

  // `value` of the key or column `name`; other names, and an empty value, say nothing. A label is true or 1, false, 0 or -1.
  void say(std::string_view name, const std::string& value);
  // For a hash; "" where nothing is said.
  std::string content() const;
};

const std::vector<std::string>& note_names();  // label, reward, base_prompt, base_text
PictureNotes json_notes(const Json& object);

// DataError, before hours of encoding, for pictures that lack what a loss learns from, and for thumbs that are all alike. Looks at all
// rows, but not at their pictures.
struct NotesWanted {
  std::string loss;  // for the messages
  bool labels = false, rewards = false;
};
void check_notes(const DataConfig& config, PairSource& source, const NotesWanted& wanted);

}  // namespace palate
