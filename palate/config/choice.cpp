#include "palate/config/choice.h"

namespace palate {

std::vector<std::string> names_of(const std::vector<ChoiceLine>& lines) {
  std::vector<std::string> names;
  for (const auto& line : lines) names.push_back(line.name);
  return names;
}

void visit_choice(Fields& f, const char* key, std::string& name, Constants& constants, const std::vector<ChoiceLine>& lines,
                  const char* help, const std::vector<std::string>& aliases) {
  f(key, name, help, {.choices = names_of(lines), .aliases = aliases});
  for (const auto& line : lines) {
    if (line.name != name) continue;  // a name that is not in the table has been reported by the visitor
    const Constants fresh = line.defaults();
    if (!constants.same_kind(fresh)) constants = fresh;
    constants.visit(f);
  }
  for (const auto& line : lines) {
    if (line.name == name || !f.begin_unchosen(key, line.name, name)) continue;
    Constants other = line.defaults();
    other.visit(f);
    f.end_unchosen();
  }
}

}  // namespace palate
