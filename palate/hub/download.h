// One blob from the hub into the cache: locked, resumed where an earlier attempt stopped, checked, and put in place whole.
#pragma once

#include <functional>
#include <string>

#include "palate/hub/cache.h"
#include "palate/hub/listing.h"

namespace palate {

// Threads share it; both are called from any of them.
struct DownloadWatch {
  // More bytes of a blob are there: received, or found (another program fetched them; negative when bytes had to be thrown away).
  std::function<void(int64_t bytes, bool received)> advance;
  std::function<bool()> cancelled;
};

// Bytes of the blob that are in the cache already: all, or those of an earlier attempt.
int64_t bytes_there(const RepoCache& cache, const RepoFile& file);

// Does nothing when the blob is there with its size. BrokenConnection never leaves it; IoError when the hub cannot be reached, when it
// refuses or the disk is full (what came stays for the next attempt); FormatError when the contents are not what the hub's listing
// promised (nothing stays). `advance` is told of what bytes_there() does not count.
void fetch_blob(HubClient& client, const RepoAt& at, const std::string& commit, const RepoCache& cache, const RepoFile& file,
                const DownloadWatch& watch);

// "4.27 GB", "812 kB"
std::string show_size(double bytes);

}  // namespace palate
