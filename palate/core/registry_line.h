// What `palate list` prints of a table's members.
#pragma once

#include <string>

namespace palate {

struct RegistryLine {
  std::string name, summary;
};

}  // namespace palate
