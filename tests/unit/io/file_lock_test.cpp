#include "palate/io/file_lock.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "palate/core/error.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

TEST_CASE("file lock: a flock that others wait for; it ends with the object, and the file stays") {
  const fs::path file = fresh_folder("file_lock") / "x.lock";
  const auto held = [&] {
    const int other_file = open(file.c_str(), O_RDWR | O_CLOEXEC);
    const bool taken = flock(other_file, LOCK_EX | LOCK_NB) != 0;
    close(other_file);
    return taken;
  };
  {
    const FileLock lock(file, [] { FAIL("nobody holds it"); });
    CHECK(held());
    int asked = 0;
    CHECK_THROWS_AS(FileLock(file,
                             [&] {
                               if (++asked == 2) throw IoError("enough");
                             }),
                    IoError);
    CHECK(asked == 2);
  }
  CHECK_FALSE(held());
  CHECK(fs::exists(file));
}

TEST_CASE("file lock: a file that was removed and made again is another one") {
  const fs::path file = fresh_folder("file_lock_removed") / "x.lock";
  const FileLock lock(file, [] { FAIL("nobody holds it"); });
  CHECK(lock.still_at(file));
  fs::remove(file);
  CHECK_FALSE(lock.still_at(file));
  const FileLock other(file, [] { FAIL("nobody holds the new one"); });
  CHECK(other.still_at(file));
  CHECK_FALSE(lock.still_at(file));
}

TEST_CASE("file lock: what cannot be opened is named") {
  const fs::path folder = fresh_folder("file_lock_none");
  CHECK_THROWS_WITH_AS(FileLock(folder / "none/x.lock", [] {}), doctest::Contains("x.lock: cannot be opened: No such file"), IoError);
  fs::create_symlink(folder / "elsewhere", folder / "link");  // a lock in a folder that others write to must not follow their links
  CHECK_THROWS_AS(FileLock(folder / "link", [] {}), IoError);
}
