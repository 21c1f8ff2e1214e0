#include "palate/io/atomic_file.h"

#include <sys/resource.h>
#include <unistd.h>

#include <csignal>

#include "palate/core/error.h"
#include "tests/support/paths.h"
#include "tests/unit/io/message.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

size_t entries(const fs::path& folder) {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(folder)) ++count;
  return count;
}

// Writes beyond this size fail with EFBIG, as on a full disk (ENOSPC): no privilege is needed, and root feels it too.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

}  // namespace

TEST_CASE("atomic file: the old content stays until commit, and nothing is left beside it") {
  const fs::path folder = fresh_folder("atomic");
  write_file(folder / "a", "old");
  {
    AtomicFile file(folder / "a");
    file.write("new");
    CHECK(read_file(folder / "a") == "old");
    CHECK(entries(folder) == 2);
  }
  CHECK(read_file(folder / "a") == "old");
  CHECK(entries(folder) == 1);
  write_file(folder / "a", "new");
  CHECK(read_file(folder / "a") == "new");
  CHECK(entries(folder) == 1);
}

TEST_CASE("atomic file: a full disk is an IoError that names the file; the old file stays and no part of the new one") {
  const fs::path folder = fresh_folder("full");
  write_file(folder / "a", "old");
  std::string text;
  {
    FileSizeLimit limit(4096);
    text = message<IoError>([&] { write_file(folder / "a", std::string(10000, 'x')); });
  }
  CHECK(has(text, (folder / "a").string()));
  CHECK(read_file(folder / "a") == "old");
  CHECK(entries(folder) == 1);
}

TEST_CASE("atomic file: a missing folder, a folder in the file's place, a missing file to read") {
  const fs::path folder = fresh_folder("missing");
  CHECK(has(message<IoError>([&] { AtomicFile file(folder / "no" / "a"); }), "No such file"));
  fs::create_directory(folder / "taken");
  CHECK(has(message<IoError>([&] { write_file(folder / "taken", "x"); }), "cannot be put in place"));
  CHECK(entries(folder) == 1);
  CHECK(has(message<IoError>([&] { read_file(folder / "gone"); }), "No such file"));
  CHECK(has(message<IoError>([&] { read_file(folder); }), "cannot be read"));
}

TEST_CASE("atomic folder: appears whole, vanishes without commit, replaces nothing") {
  const fs::path folder = fresh_folder("folders");
  {
    AtomicFolder lost(folder / "run");
    write_file(lost.work() / "x", "1");
  }
  CHECK(entries(folder) == 0);
  AtomicFolder kept(folder / "run");
  fs::create_directory(kept.work() / "inner");
  write_file(kept.work() / "inner" / "x", "1");
  CHECK_FALSE(fs::exists(folder / "run"));
  kept.commit();
  CHECK(read_file(folder / "run" / "inner" / "x") == "1");
  AtomicFolder second(folder / "run");
  CHECK(has(message<IoError>([&] { second.commit(); }), "already there"));
  CHECK(read_file(folder / "run" / "inner" / "x") == "1");
}

TEST_CASE("line writer: appends or starts anew") {
  const fs::path path = fresh_folder("lines") / "log";
  { LineWriter(path).line("one"); }
  { LineWriter(path).line("two"); }
  CHECK(read_file(path) == "one\ntwo\n");
  { LineWriter(path, false).line("three"); }
  CHECK(read_file(path) == "three\n");
}
