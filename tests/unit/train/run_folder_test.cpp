#include <doctest/doctest.h>
#include <unistd.h>

#include "palate/core/error.h"
#include "palate/train/run_folder.h"
#include "tests/support/paths.h"

using namespace palate;
namespace fs = std::filesystem;

TEST_CASE("run folder: a second run in the same folder is refused and told who holds it") {
  const fs::path folder = test::fresh_folder("held") / "run";
  {
    const RunFolder held(folder, RunStart::fresh);
    CHECK(test::read_text(folder / ".lock") == std::to_string(getpid()) + "\n");
    try {
      const RunFolder again(folder, RunStart::resume);
      FAIL("two runs hold one folder");
    } catch (const UsageError& error) {
      CHECK(std::string(error.what()).find("in use by process " + std::to_string(getpid())) != std::string::npos);
      CHECK(error.exit_status() == 2);
    }
  }
  CHECK_FALSE(fs::exists(folder / ".lock"));
  CHECK_NOTHROW(RunFolder(folder, RunStart::resume));
}

TEST_CASE("run folder: a folder with a run in it is refused unless it is to go on, caches do not count") {
  const fs::path folder = test::fresh_folder("existing");
  fs::create_directories(folder / "cache");
  CHECK_NOTHROW(RunFolder(folder, RunStart::fresh));
  test::write_text(folder / "config.resolved.toml", "");  // of a run that failed before its first step
  test::write_text(folder / "metrics.jsonl", "");
  test::write_text(folder / "events.out.tfevents.1.host.2", "x");
  CHECK_NOTHROW(RunFolder(folder, RunStart::fresh));
  test::write_text(folder / "metrics.jsonl", "{}\n");
  CHECK_THROWS_WITH_AS(RunFolder(folder, RunStart::fresh), doctest::Contains("resume=latest"), UsageError);
  CHECK_NOTHROW(RunFolder(folder, RunStart::resume));
  CHECK_THROWS_AS(RunFolder(folder / "missing", RunStart::resume), UsageError);
}

TEST_CASE("run folder: a path that cannot be made is an error of the system, named") {
  const fs::path folder = test::fresh_folder("blocked");
  test::write_text(folder / "file", "x");
  CHECK_THROWS_WITH_AS(RunFolder(folder / "file", RunStart::fresh), doctest::Contains("is a file, expected a folder"), UsageError);
  CHECK_THROWS_WITH_AS(RunFolder(folder / "file/run", RunStart::fresh), doctest::Contains("file/run"), Error);
}
