// A fake hub with a small model, and a cache of its own to pull it into.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "palate/hub/pull.h"
#include "tests/support/fake_hub.h"

namespace palate::test {

struct HubCase {
  explicit HubCase(const std::string& name, const std::string& repo = "tiny/model");

  FakeHub hub;
  std::filesystem::path cache;  // empty at first

  PullOptions options;
  Pulled pull(const std::string& token = "");                                 // in this process
  std::string refused(const std::string& token = "");                         // the error of a pull that must fail; "" when it did not
  std::vector<std::string> environment(const std::string& token = "") const;  // for the program

  std::filesystem::path folder() const { return cache / ("models--" + std::string(hub.repo).replace(hub.repo.find('/'), 1, "--")); }
  std::filesystem::path blob(const std::string& path) const { return folder() / "blobs" / hub.blob_name(path); }
  std::filesystem::path incomplete(const std::string& path) const { return blob(path).string() + ".incomplete"; }
  // Fails the test unless every file is in the snapshot with its contents, as a link to its blob, and main names the commit.
  void expect_whole(const std::vector<std::string>& paths) const;
  // Everything under the cache but CACHEDIR.TAG and locks, relative to it, sorted.
  std::vector<std::string> entries() const;
};

// Bytes that do not repeat, so that a piece at the wrong place changes the hash.
std::string random_bytes(size_t count, unsigned seed);

}  // namespace palate::test
