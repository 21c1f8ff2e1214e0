// The visitors over config structs. `VisitFields` is usually [&](Fields& f) { config.visit(f); }.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "palate/config/fields.h"

namespace palate {

using VisitFields = std::function<void(Fields&)>;

// Where values come from, later ones over earlier ones.
struct ConfigSource {
  std::string file_name;  // "" for none
  std::string file_text;
  std::vector<std::string> overrides;   // "train.steps=100", as typed on the command line
  std::vector<std::string> taken = {};  // keys of the file's top level that somebody else has read
};
ConfigSource read_config_source(const std::filesystem::path& file, std::vector<std::string> overrides);

// Fills the struct. ConfigError lists every mistake at once: "run.toml:7: unknown key 'train.step' (did you mean
// 'train.steps'?)", wrong types, values out of range, broken rules; an override is named by its own text.
void load_config(const ConfigSource& source, const VisitFields& visit);

std::string config_to_toml(const VisitFields& visit);  // complete: load_config of it gives the same struct
std::string config_help(const VisitFields& visit);     // key, default, help; one field a line, tables as headings
// "objective.beta: 2000 -> 5000", one line a difference.
std::vector<std::string> config_difference(const VisitFields& a, const VisitFields& b);

}  // namespace palate
