#include "tests/e2e/hub/hub_case.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <random>

#include "palate/core/error.h"
#include "tests/support/paths.h"

namespace palate::test {
namespace fs = std::filesystem;

HubCase::HubCase(const std::string& name, const std::string& repo) : hub(repo), cache(fresh_folder(name) / "cache") {
  hub.files = {{"config.json", "{\"a\": 1}\n"},
               {"model.safetensors", random_bytes(300000, 1)},
               {"notes/a b.txt", "text"},
               {"notes/copy.json", "{\"a\": 1}\n"}};
  options.at = parse_repo(repo);
  setenv("no_proxy", "127.0.0.1,localhost", 1);  // whatever the machine has set
}

Pulled HubCase::pull(const std::string& token) { return palate::pull(cache, {hub.hub().url(), token, 1}, options); }

std::string HubCase::refused(const std::string& token) {
  try {
    pull(token);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

std::vector<std::string> HubCase::environment(const std::string& token) const {
  return {"HF_ENDPOINT=" + hub.hub().url(),
          "HF_HUB_CACHE=" + cache.string(),
          "HF_HOME=" + (cache.parent_path() / "home").string(),
          "HF_TOKEN=" + token,
          "HF_HUB_OFFLINE=",
          "no_proxy=127.0.0.1,localhost",
          "http_proxy=",
          "all_proxy="};
}

void HubCase::expect_whole(const std::vector<std::string>& paths) const {
  const fs::path snapshot = folder() / "snapshots" / hub.commit;
  for (const auto& path : paths) {
    INFO(path);
    CHECK(read_text(snapshot / path) == hub.files.at(path));
    REQUIRE(fs::is_symlink(snapshot / path));
    CHECK(fs::read_symlink(snapshot / path).is_relative());
    CHECK(fs::canonical(snapshot / path) == fs::canonical(blob(path)));
    CHECK_FALSE(fs::exists(incomplete(path)));
  }
  CHECK(read_text(folder() / "refs/main") == hub.commit);
}

std::vector<std::string> HubCase::entries() const {
  std::vector<std::string> names;
  if (!fs::exists(cache)) return names;
  for (const auto& entry : fs::recursive_directory_iterator(cache)) {
    const std::string name = entry.path().lexically_relative(cache).string();
    if (!entry.is_directory() && name != "CACHEDIR.TAG" && !name.starts_with(".locks/")) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string random_bytes(size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::string bytes(count, 0);
  for (auto& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

}  // namespace palate::test
