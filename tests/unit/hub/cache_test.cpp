#include "palate/hub/cache.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>

#include "palate/core/error.h"
#include "palate/hub/model_path.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

const std::string commit(40, '1'), other(40, '2');

}  // namespace

TEST_CASE("hub cache: a snapshot is relative links to blobs, and a ref names its commit") {
  const fs::path hub = fresh_folder("hub_cache");
  const RepoCache cache(hub, {RepoType::model, "org/name"});
  cache.prepare();
  write_text(cache.blob("aa"), "first");
  write_text(cache.blob("bb"), "second");
  cache.link(commit, "top.json", "aa");
  cache.link(commit, "unet/deep/config.json", "aa");
  CHECK(fs::read_symlink(cache.snapshot(commit) / "top.json") == "../../blobs/aa");
  CHECK(fs::read_symlink(cache.snapshot(commit) / "unet/deep/config.json") == "../../../../blobs/aa");
  CHECK(read_text(cache.snapshot(commit) / "unet/deep/config.json") == "first");
  cache.link(commit, "top.json", "bb");  // as after a blob was found damaged
  CHECK(read_text(cache.snapshot(commit) / "top.json") == "second");
  CHECK(cache.commit_of("main").empty());
  CHECK_FALSE(find_snapshot(hub, parse_repo("org/name")).has_value());
  cache.write_ref("main", commit);
  cache.write_ref("refs/pr/1", other);
  CHECK(read_text(cache.folder() / "refs/main") == commit);  // no newline, as the reference client writes it
  CHECK(read_text(cache.folder() / "refs/refs/pr/1") == other);
  CHECK(find_snapshot(hub, parse_repo("org/name"))->folder == cache.snapshot(commit));
  CHECK(find_snapshot(hub, parse_repo("org/name@" + commit))->commit == commit);
  CHECK_FALSE(find_snapshot(hub, parse_repo("org/name@refs/pr/1")).has_value());  // its snapshot is gone
  CHECK(broken_link(cache.snapshot(commit)).empty());
  fs::remove(cache.blob("aa"));
  CHECK(broken_link(cache.snapshot(commit)) == "unet/deep/config.json");
}

TEST_CASE("hub cache: names that lead out are refused where they would be written, and refs that are none are no commits") {
  const RepoCache cache(fresh_folder("hub_hostile"), {RepoType::model, "org/name"});
  cache.prepare();
  CHECK_THROWS_AS(cache.link(commit, "../../../../escaped", "aa"), FormatError);
  CHECK_THROWS_AS(cache.link("../x", "file", "aa"), FormatError);
  for (const char* text : {"", "../../x", "main", "1111\n"}) {
    write_text(cache.folder() / "refs/main", text);
    CHECK_MESSAGE(cache.commit_of("main").empty(), text);
  }
  write_text(cache.folder() / "refs/main", commit + "\n");  // by hand
  CHECK(cache.commit_of("main") == commit);
  CHECK(cache.commit_of("../refs/main").empty());
}

TEST_CASE("hub cache: a model is a folder first, then a repository in the cache that the reference client wrote") {
  const fs::path cache = golden("hub_cache"), place = fresh_folder("hub_model");
  setenv("HF_HUB_CACHE", cache.c_str(), 1);
  const fs::path found = model_path("tiny/pipeline");
  CHECK(found.parent_path() == cache / "models--tiny--pipeline/snapshots");
  CHECK(model_commit("tiny/pipeline") == found.filename());
  CHECK(model_commit("tiny/pipeline") == read_text(cache / "models--tiny--pipeline/refs/main"));
  CHECK(model_path("tiny/pipeline@v1") != found);
  CHECK(model_path("tiny/pipeline@" + model_commit("tiny/pipeline@v1")) == model_path("tiny/pipeline@v1"));
  CHECK(read_text(found / "model_index.json") == read_text(golden("tiny_pipeline/model_index.json")));
  CHECK_THROWS_WITH_AS(model_path("tiny/nothing"), doctest::Contains("palate pull tiny/nothing"), UsageError);
  CHECK_THROWS_WITH_AS(model_path("tiny/pairs"), doctest::Contains("palate pull tiny/pairs"), UsageError);  // a data set
  const fs::path before = fs::current_path();
  fs::create_directories(place / "tiny/pipeline");
  fs::current_path(place);
  CHECK(model_path("tiny/pipeline") == "tiny/pipeline");
  CHECK(model_commit("tiny/pipeline").empty());
  fs::current_path(before);
  for (const char* path : {"/no/such/model", "nothing", "a/b/c", "../x"})
    CHECK_THROWS_WITH_AS(model_path(path), doctest::Contains("there is no such folder or file"), UsageError);
  unsetenv("HF_HUB_CACHE");
}
