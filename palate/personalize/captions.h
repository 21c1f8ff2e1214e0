// Comprehensive captions (Direct Consistency Optimization, arXiv 2402.12004, section 3): each says what is in its picture besides the
// subject, so that the new word need not mean it. A template to write them into, and what is looked at before hours of training.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "palate/personalize/concept.h"

namespace palate {

struct Captioned {
  std::filesystem::path picture;
  std::string caption;
};

// FOLDER's pictures by name, not those of folders below. UsageError when it is missing or holds none.
std::vector<std::filesystem::path> pictures_in(const std::filesystem::path& folder);

// By the picture's name in its folder. `file`: JSON lines or CSV with file_name and text (or caption, prompt); "": what stands beside the
// pictures, metadata.jsonl, metadata.csv, or NAME.txt and NAME.caption. None when there is nothing of that kind.
std::map<std::string, std::string> read_captions(const std::filesystem::path& folder, const std::vector<std::filesystem::path>& pictures,
                                                 const std::filesystem::path& file);

// "a [view] photo of a <dog-1> [pose], [background], [lighting], [style]"
std::string caption_template(const Concept& concept_);
void write_template(const std::filesystem::path& file, const std::vector<std::filesystem::path>& pictures, const Concept& concept_);
// "a photo of a <dog-1>"
std::string plain_caption(const Concept& concept_);

// Captions as they are trained on, with the word. UsageError, one sentence that names the picture: one without a caption, a caption of a
// picture that is not there, a hint that is left ("[pose]"), a caption that has not the word or the class exactly once, and captions of two
// subjects. Rare identifiers ("sks") are warned of.
std::vector<Captioned> checked_captions(const std::vector<std::filesystem::path>& pictures,
                                        const std::map<std::string, std::string>& captions, const Concept& concept_,
                                        const std::string& origin);

// "sks" or "ohwx": short words without meaning that older recipes use in a name's place; "" when the caption has none.
std::string rare_identifier(const std::string& caption);

}  // namespace palate
