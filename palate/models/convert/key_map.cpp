#include "palate/models/convert/key_map.h"

namespace palate {

ModuleSet::ModuleSet(const std::vector<std::string>& names) {
  for (const auto& name : names) {
    for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1)) modules_.insert(name.substr(0, dot));
    modules_.insert(name);
  }
}

int64_t ModuleSet::count(const std::string& prefix) const {
  int64_t count = 0;
  while (has(prefix + std::to_string(count))) ++count;
  return count;
}

void KeyMap::add(const std::string& ldm, const std::string& diffusers) {
  to_diffusers_[ldm] = diffusers;
  to_ldm_[diffusers] = ldm;
}

std::optional<std::string> KeyMap::translate(const std::string& name, Layout from) const {
  const auto& table = from == Layout::ldm ? to_diffusers_ : to_ldm_;
  for (size_t end = name.size(); end != std::string::npos && end > 0; end = name.rfind('.', end - 1)) {
    const auto found = table.find(name.substr(0, end));
    if (found != table.end()) return found->second + name.substr(end);
  }
  return {};
}

}  // namespace palate
