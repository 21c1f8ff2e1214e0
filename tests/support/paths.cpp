#include "tests/support/paths.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace palate::test {
namespace fs = std::filesystem;

fs::path repository() { return fs::path(__FILE__).parent_path().parent_path().parent_path(); }

fs::path golden(const std::string& name) {
  const fs::path path = repository() / "tests/golden" / name;
  if (!fs::exists(path)) throw std::runtime_error(path.string() + " is missing: run ./run golden");
  return path;
}

fs::path fresh_folder(const std::string& name) {
  const char* root = std::getenv("PALATE_TEST_TMP");
  const fs::path path = (root ? fs::path(root) : fs::temp_directory_path() / "palate-tests") / name;
  fs::remove_all(path);
  fs::create_directories(path);
  return path;
}

fs::path program() {
  const char* path = std::getenv("PALATE_BINARY");
  return path ? fs::path(path) : repository() / "build/palate";
}

fs::path shared_data(const std::string& name) {
  const fs::path path = repository().parent_path() / "shared/data" / name;
  return fs::exists(path) ? path : fs::path();
}

bool shared_missing(std::initializer_list<const char*> names) {
  return std::any_of(names.begin(), names.end(), [](const char* name) { return shared_data(name).empty(); });
}

std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void write_text(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

}  // namespace palate::test
