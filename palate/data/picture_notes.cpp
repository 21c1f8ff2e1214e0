#include "palate/data/picture_notes.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/core/progress.h"
#include "palate/core/text.h"
#include "palate/data/pairs.h"

namespace palate {
namespace {

double label_of(const std::string& value) {
  const std::string word = lowered(value);
  if (word == "true" || word == "1" || word == "1.0") return 1;
  return word == "false" || word == "0" || word == "-1" || word == "0.0" || word == "-1.0" ? -1 : 0;
}

double number_of(const std::string& value) {
  char* end = nullptr;
  const double number = std::strtod(value.c_str(), &end);
  return *end == '\0' && std::isfinite(number) ? number : std::nan("");
}

}  // namespace

void PictureNotes::say(std::string_view name, const std::string& value) {
  if (value.empty()) return;
  if (name == "label") {
    label = label_of(value);
    wrong_label = label == 0 ? value : "";
  } else if (name == "reward") {
    reward = number_of(value);
    wrong_reward = std::isnan(reward) ? value : "";
  } else if (name == "base_prompt" || name == "base_text") {
    base_prompt = value;
  }
}

std::string PictureNotes::content() const {
  if (label == 0 && std::isnan(reward) && base_prompt.empty()) return "";
  return concat("label ", label, " reward ", std::isnan(reward) ? "none" : concat(reward), " base ", base_prompt);
}

const std::vector<std::string>& note_names() {
  static const std::vector<std::string> names = {"label", "reward", "base_prompt", "base_text"};
  return names;
}

PictureNotes json_notes(const Json& object) {
  PictureNotes notes;
  for (const std::string& name : note_names()) {
    const auto found = object.find(name);
    if (found == object.end() || found->is_null()) continue;
    notes.say(name, found->is_string() ? found->get<std::string>() : found->dump());
  }
  return notes;
}

void check_notes(const DataConfig& config, PairSource& source, const NotesWanted& wanted) {
  const int64_t rows = config.max_pairs > 0 ? std::min(config.max_pairs, source.rows()) : source.rows();
  int64_t up = 0, down = 0;
  Progress progress("reading labels and rewards", rows);
  for (int64_t row = 0; row < rows; ++row) {
    progress.advance();
    PairRecord record;  // of the notes alone
    try {
      source.notes(row, record);
    } catch (const DataError&) {
      if (!config.skip_bad) throw;
      continue;
    }
    const PictureNotes& notes = record.notes;
    if (wanted.labels) {
      check<DataError>(notes.label != 0, record.origin, ": 'label' is ", notes.wrong_label.empty() ? "missing" : notes.wrong_label,
                       ": the loss '", wanted.loss, "' learns from pictures with a thumb up (true or 1) or down (false, 0 or -1)");
      ++(notes.label > 0 ? up : down);
    }
    if (wanted.rewards) {
      check<DataError>(std::isfinite(notes.reward), record.origin, ": 'reward' is ",
                       notes.wrong_reward.empty() ? "missing" : notes.wrong_reward, ": the loss '", wanted.loss,
                       "' weighs each picture by its reward, which must be a finite number");
    }
  }
  source.rest();
  if (!wanted.labels || up + down == 0) return;
  check<DataError>(up > 0 && down > 0, "data.images: all ", up + down, " pictures have a thumb ", up > 0 ? "up" : "down", ": the loss '",
                   wanted.loss, "' learns from the difference between good and bad ones: add pictures with label ",
                   up > 0 ? "false, or learn from good ones alone with objective.loss = \"sft\" or \"dco\"" : "true");
}

}  // namespace palate
