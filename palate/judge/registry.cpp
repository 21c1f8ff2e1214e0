// The one table of judges. A new one is one file of this folder and one line here: the function that the file ends with, the name, and one
// sentence. A name that ends in ":DIR" takes a folder, which people write in its place; the others get an empty one.
#include <torch/types.h>

#include <algorithm>
#include <filesystem>

#include "palate/core/error.h"
#include "palate/judge/judge.h"

#define PALATE_JUDGES(line)                                                                                                        \
  line(make_oracle, "oracle", "the embedded world's: 5 x share of the caption that holds + 3 x clean colours + fit of the shapes") \
      line(make_clip, "clip:DIR",                                                                                                  \
           "a folder with a CLIPModel, PickScore's or a reward model's: exp(logit_scale) times the cosine of picture and prompt")

namespace palate {

#define PALATE_JUDGE(function, name, summary) std::unique_ptr<Judge> function(const std::string& folder);
PALATE_JUDGES(PALATE_JUDGE)

namespace {

struct Line {
  const char* name;
  const char* summary;
  std::unique_ptr<Judge> (*make)(const std::string& folder);
};

#define PALATE_ROW(function, name, summary) {name, summary, function},
constexpr Line table[] = {PALATE_JUDGES(PALATE_ROW)};

}  // namespace

std::unique_ptr<Judge> make_judge(const std::string& given) {
  const size_t colon = given.find(':');
  const std::string name = given.substr(0, colon), folder = colon == std::string::npos ? "" : given.substr(colon + 1);
  for (const auto& line : table) {
    const std::string known = line.name, bare = known.substr(0, known.find(':'));
    if (name != bare) continue;
    check<UsageError>(bare == known ? given == known : !folder.empty(), "judge: expected ", known, ", found '", given, "'");
    return line.make(folder);
  }
  fail<UsageError>("judge: there is no '", given, "'", did_you_mean(name, judge_names()), "; expected ", one_of(judge_names()),
                   std::filesystem::is_directory(given) ? "; a folder with a CLIPModel is given as clip:" + given : "");
}

std::vector<RegistryLine> judges() {
  std::vector<RegistryLine> lines;
  for (const auto& line : table) lines.push_back({line.name, line.summary});
  return lines;
}

std::vector<std::string> judge_names() {
  std::vector<std::string> names;
  for (const auto& line : table) names.emplace_back(line.name);
  return names;
}

Judges make_judges(const std::vector<std::string>& names) {
  Judges made;
  for (auto name = names.begin(); name != names.end(); ++name) {
    check<UsageError>(std::find(names.begin(), name, *name) == name, "judge ", *name, " is given twice: once is enough");
    made.push_back(make_judge(*name));
  }
  return made;
}

Scores concatenate(const std::vector<Scores>& parts) {
  std::vector<Tensor> total;
  std::map<std::string, std::vector<Tensor>> columns;
  for (const auto& part : parts) {
    total.push_back(part.total);
    for (const auto& [name, values] : part.parts) columns[name].push_back(values);
  }
  Scores all{torch::cat(total), {}};
  for (const auto& [name, values] : columns) all.parts[name] = torch::cat(values);
  return all;
}

}  // namespace palate
