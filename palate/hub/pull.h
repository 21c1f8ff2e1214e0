// A repository of the Hugging Face hub into the local cache, as huggingface_hub's snapshot_download would put it there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "palate/hub/choose.h"

namespace palate {

struct PullOptions {
  RepoAt at;
  ChooseOptions choose;
  int jobs = 4;  // files at once
};

struct Pulled {
  std::filesystem::path snapshot;  // CACHE/models--ORG--NAME/snapshots/COMMIT
  std::string commit;
  int64_t files = 0;
  double bytes = 0, fetched = 0;  // of these files; of them those that came over the network
};

// Blobs first, then the snapshot's links, then the ref: a pull that stops in the middle leaves what was there before and goes on where
// it stopped. IoError when it is interrupted (SIGINT, SIGTERM), when the disk has not enough room, and as client.h and download.h say.
Pulled pull(const std::filesystem::path& cache, const HubServer& server, const PullOptions& options);

// The same when nothing may be asked: what the cache holds. UsageError when it does not hold the revision, or not whole.
Pulled pull_offline(const std::filesystem::path& cache, const PullOptions& options);

}  // namespace palate
