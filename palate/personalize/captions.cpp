#include "palate/personalize/captions.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "palate/core/error.h"
#include "palate/core/log.h"
#include "palate/core/text.h"
#include "palate/data/readers/captions.h"
#include "palate/data/readers/pair_files.h"
#include "palate/io/atomic_file.h"
#include "palate/io/csv.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

using Captions = std::map<std::string, std::string>;

void note(Captions& captions, const std::string& where, const std::string& name, const std::string& caption) {
  check<UsageError>(!name.empty() && !caption.empty(), where, ": expected a picture's file_name and its text");
  check<UsageError>(captions.emplace(fs::path(name).filename().string(), caption).second, where, ": names ", name,
                    " a second time: keep one caption");
}

Captions listed(const fs::path& file) {
  check<UsageError>(fs::is_regular_file(file), "personalize: --captions ", file.string(), ": there is no such file");
  Captions captions;
  if (lowered(file.extension().string()) == ".csv") {
    const CsvTable table = read_csv_table(file);
    const auto name = table.column({"file_name", "image", "path"}), text = table.column(caption_names());
    check<UsageError>(name >= 0 && text >= 0, file.string(), ": expected columns file_name and text, found ", one_of(table.names));
    for (const CsvRow& row : table.rows)
      note(captions, concat(file.string(), ":", row.line), row.fields[static_cast<size_t>(name)], row.fields[static_cast<size_t>(text)]);
    return captions;
  }
  read_jsonl(file, [&](const Json& line, int64_t number) {
    const std::string where = concat(file.string(), ":", number);
    check<UsageError>(line.is_object() && line.contains("file_name") && line["file_name"].is_string(), where,
                      ": expected {\"file_name\": ..., \"text\": ...}");
    note(captions, where, line["file_name"].get<std::string>(), json_caption(line, ""));
  });
  return captions;
}

Captions beside(const std::vector<fs::path>& pictures) {
  Captions captions;
  for (const fs::path& picture : pictures) {
    for (const char* extension : {".txt", ".caption"}) {
      fs::path file = picture;
      file.replace_extension(extension);
      if (!fs::is_regular_file(file)) continue;
      const std::string text = first_line(read_file(file));
      check<UsageError>(!text.empty(), file.string(), ": is empty, expected a caption");
      captions[picture.filename().string()] = text;
      break;
    }
  }
  return captions;
}

// Words in angle brackets, which are names that somebody gave.
std::set<std::string> given_names(const std::string& caption) {
  static const std::regex name("<[^<>\\s]+>");
  std::set<std::string> found;
  for (std::sregex_iterator it(caption.begin(), caption.end(), name), end; it != end; ++it) found.insert(lowered(it->str()));
  return found;
}

// What "a photo of a X ..." is said to be of, in lower case; "" where a caption begins otherwise.
std::string said_subject(const std::string& caption) {
  static const std::regex of("\\b(?:photo|picture|image|drawing|painting|shot)s? of (?:a|an|the|my|one) ([a-z]+)", std::regex::icase);
  std::smatch match;
  return std::regex_search(caption, match, of) ? lowered(match[1].str()) : "";
}

std::string quoted(const Captioned& it) { return concat(it.picture.filename().string(), " (\"", it.caption, "\")"); }

void refuse_second_name(const std::vector<Captioned>& all, const Concept& concept_) {
  std::map<std::string, const Captioned*> names;
  for (const Captioned& it : all) {
    for (const auto& name : given_names(it.caption)) names.emplace(name, &it);
  }
  for (const auto& [name, first] : names) {
    if (name == lowered(concept_.word)) continue;
    fail<UsageError>("personalize: the captions name two subjects, ", concept_.word, " and ", name, " (",
                     first->picture.filename().string(),
                     "): personalise with one at a time, each from a folder of its own, or say which word it is with --word");
  }
}

void check_named_once(const Captioned& it, const Concept& concept_, const std::string& first_picture) {
  const size_t words = places_of(it.caption, concept_.word).size();
  const size_t nouns = concept_.style ? 0 : places_of(it.caption, concept_.noun).size();
  const std::string asked =
      concept_.style ? concat("\"", concept_.word, "\"") : concat("the word ", concept_.word, " or the class \"", concept_.noun, "\"");
  if (words + nouns == 0) {
    const std::string other = concept_.style ? "" : said_subject(it.caption);
    check<UsageError>(other.empty() || first_picture.empty(), "personalize: the captions name two subjects, \"", concept_.noun, "\" (",
                      first_picture, ") and \"", other, "\" (", it.picture.filename().string(),
                      "): personalise with one at a time, each from a folder of its own");
    fail<UsageError>("personalize: the caption of ", quoted(it), " names nobody: it must have ", asked, " exactly once");
  }
  check<UsageError>(words + nouns == 1, "personalize: the caption of ", quoted(it), " has ", asked, " ", words + nouns,
                    " times: say it once, and what else is there in other words");
}

void warn_of_rare(const std::vector<Captioned>& all, const Concept& concept_) {
  for (const Captioned& it : all) {
    const std::string rare = rare_identifier(it.caption);
    if (rare.empty() || rare == concept_.word) continue;
    return warn("the caption of ", quoted(it), " has '", rare,
                "', which looks like a rare identifier: the model may know it as something else, and the new word needs none beside it");
  }
}

}  // namespace

std::vector<fs::path> pictures_in(const fs::path& folder) {
  check<UsageError>(fs::is_directory(folder), "personalize: --images ", folder.string(), ": there is no such folder");
  std::vector<fs::path> pictures;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_regular_file() && is_picture(entry.path()) && !entry.path().filename().string().starts_with('.'))
      pictures.push_back(entry.path());
  }
  check<UsageError>(!pictures.empty(), "personalize: --images ", folder.string(),
                    ": holds no picture (.jpg, .jpeg, .png, .webp): expected three to six of what the model is to learn");
  std::sort(pictures.begin(), pictures.end());
  return pictures;
}

Captions read_captions(const fs::path& folder, const std::vector<fs::path>& pictures, const fs::path& file) {
  if (!file.empty()) return listed(file);
  const Captions found = metadata_captions(folder, "");
  return found.empty() ? beside(pictures) : found;
}

std::string caption_template(const Concept& concept_) {
  return concept_.style ? concat("[what it shows, from which view], [background], [lighting], in ", concept_.word, " style")
                        : concat("a [view] photo of a ", concept_.word, " [pose], [background], [lighting], [style]");
}

void write_template(const fs::path& file, const std::vector<fs::path>& pictures, const Concept& concept_) {
  std::string text;
  for (const fs::path& picture : pictures)
    text += Json{{"file_name", picture.filename().string()}, {"text", caption_template(concept_)}}.dump(-1, ' ', false,
                                                                                                        Json::error_handler_t::replace) +
            "\n";
  write_file(file, text);
}

std::string plain_caption(const Concept& concept_) {
  return concept_.style ? concat("a picture in ", concept_.word, " style") : concat("a photo of a ", concept_.word);
}

std::vector<Captioned> checked_captions(const std::vector<fs::path>& pictures, const Captions& captions, const Concept& concept_,
                                        const std::string& origin) {
  std::vector<Captioned> all;
  std::set<std::string> names;
  for (const fs::path& picture : pictures) {
    const std::string name = picture.filename().string();
    names.insert(name);
    const auto found = captions.find(name);
    check<UsageError>(found != captions.end(), "personalize: ", origin, " has no caption for ", name, ": write one for every picture");
    all.push_back({picture, std::string(stripped(found->second))});
  }
  for (const auto& [name, caption] : captions) {
    check<UsageError>(names.count(name) > 0, "personalize: ", origin, " has a caption for ", name, ", which is not in ",
                      pictures[0].parent_path().string(), ": take the line out, or put the picture there");
  }
  static const std::regex hint("\\[[^\\]]*\\]");
  std::smatch left;
  for (const Captioned& it : all) {
    if (!std::regex_search(it.caption, left, hint)) continue;
    fail<UsageError>("personalize: the caption of ", quoted(it), " still has ", left.str(),
                     ": put what the picture shows in its place, or take it out");
  }
  refuse_second_name(all, concept_);
  std::string first;
  const auto names_it = [&](const Captioned& it) {
    return !places_of(it.caption, concept_.word).empty() || (!concept_.style && !places_of(it.caption, concept_.noun).empty());
  };
  const auto known = std::find_if(all.begin(), all.end(), names_it);
  if (known != all.end()) first = known->picture.filename().string();
  for (const Captioned& it : all) check_named_once(it, concept_, first);
  warn_of_rare(all, concept_);
  for (Captioned& it : all) it.caption = concept_.own(it.caption);
  return all;
}

std::string rare_identifier(const std::string& caption) {
  static const std::set<std::string> known = {"sks", "zwx", "ohwx", "zxc", "hta", "olis", "shs", "bnha", "ukj", "xjy", "lvngvncnt"};
  static const std::regex word("[A-Za-z]+");
  for (std::sregex_iterator it(caption.begin(), caption.end(), word), end; it != end; ++it) {
    if (known.count(lowered(it->str()))) return it->str();
  }
  return "";
}

}  // namespace palate
