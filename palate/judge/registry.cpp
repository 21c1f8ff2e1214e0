// The one table of judges. A new one is one file of this folder and one line here: the function that the file ends with, the name, and one
// sentence.
#include <torch/types.h>

#include <algorithm>

#include "palate/core/error.h"
#include "palate/judge/judge.h"

#define PALATE_JUDGES(line) \
  line(make_oracle, "oracle", "the embedded world's: 5 x share of the caption that holds + 3 x clean colours + fit of the shapes")

namespace palate {

#define PALATE_JUDGE(function, name, summary) std::unique_ptr<Judge> function();
PALATE_JUDGES(PALATE_JUDGE)

namespace {

struct Line {
  const char* name;
  const char* summary;
  std::unique_ptr<Judge> (*make)();
};

#define PALATE_ROW(function, name, summary) {name, summary, function},
constexpr Line table[] = {PALATE_JUDGES(PALATE_ROW)};

}  // namespace

std::unique_ptr<Judge> make_judge(const std::string& name) {
  for (const auto& line : table) {
    if (name == line.name) return line.make();
  }
  fail<UsageError>("judge: there is no '", name, "'", did_you_mean(name, judge_names()), "; expected ", one_of(judge_names()));
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
