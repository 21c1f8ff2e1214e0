#include <filesystem>
#include <nlohmann/json.hpp>

#include "palate/hub/choose.h"
#include "tests/fuzz/targets.h"

// A page of a repository's listing, and the choice of what is fetched, with the page's own text in place of model_index.json too.
void palate::fuzz::hub(std::string_view bytes) {
  const Json page = parse_json(bytes, "fuzz");
  RepoListing listing;
  add_tree_page(listing, page, "fuzz");
  check_paths(listing, "fuzz");
  for (const auto& file : listing.files) {
    const auto inside = (std::filesystem::path("/cache/snapshots/commit") / file.path).lexically_normal().string();
    promise(inside.starts_with("/cache/snapshots/commit/") && inside.size() > 24, "a path leads out of the snapshot");
    promise(file.size >= -1 && file.etag.find_first_of("/.") == std::string::npos, "a size or hash is none");
  }
  const auto chosen = choose_files(listing.files, page.empty() ? Json() : page[0], RepoType::model, {});
  promise(!chosen.empty() && chosen.size() <= listing.files.size(), "what is chosen is not a part of the listing");
}
