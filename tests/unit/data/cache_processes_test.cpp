// Caches under kill -9 and under two runs at once. The other process is this test's own program, told by its environment
// to build a cache.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <torch/types.h>
#include <unistd.h>

#include <cstdlib>

#include "palate/core/hash.h"
#include "palate/data/cache/cache_build.h"
#include "palate/data/cache/content_hash.h"
#include "palate/data/cache/pair_cache.h"
#include "tests/support/expect_close.h"
#include "tests/unit/data/fake_encoders.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

// 8 pairs of 32 variants: 64 images a pair, so that each of the 12 rows is a group and, with no time between shards, a shard.
DataConfig slow_config() {
  DataConfig config = golden_config();
  config.flip = true;
  config.crop = "random";
  config.variants = 32;
  return config;
}

FakeEncoders slow_encoders(int milliseconds) {
  FakeEncoders encoders;
  encoders.composition = true;
  encoders.milliseconds = milliseconds;
  return encoders;
}

// Starts a process that builds the cache below `folder`; its log goes to folder/log-NAME.
pid_t start_child(const fs::path& folder, const std::string& name) {
  const std::string log = (folder / ("log-" + name)).string();
  const pid_t child = ::fork();
  if (child != 0) return child;
  const int file = ::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  ::dup2(file, 1);
  ::dup2(file, 2);
  ::setenv("PALATE_CACHE_CHILD", folder.c_str(), 1);
  ::execl("/proc/self/exe", "unit_data", "--no-skip", "-tc=child: builds a cache", static_cast<char*>(nullptr));
  ::_exit(127);
}

int wait_for(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

fs::path key_folder(const fs::path& folder) {
  const DataConfig config = slow_config();
  FakeEncoders encoders = slow_encoders(0);
  return folder / sha256(cache_settings(config, encoders, content_hash(*open_pairs(config), folder / "memo.json")));
}

void expect_equal_caches(const PairCache& a, const PairCache& b) {
  for (int64_t row = 0; row < 8; ++row) {
    for (uint64_t draw = 0; draw < 32; ++draw) {
      const Batch x = a.batch({row}, {draw}, {.seed = 3}), y = b.batch({row}, {draw}, {.seed = 3});
      expect_equal("winner", x.view(0), y.view(0));
      expect_equal("loser", x.view(1), y.view(1));
      expect_equal("text", x.condition["encoder_hidden_states"], y.condition["encoder_hidden_states"]);
    }
  }
}

}  // namespace

TEST_CASE("child: builds a cache" * doctest::skip()) {
  const char* folder = std::getenv("PALATE_CACHE_CHILD");
  REQUIRE(folder != nullptr);
  const DataConfig config = slow_config();
  FakeEncoders encoders = slow_encoders(50);
  const auto source = open_pairs(config);
  const std::string settings = cache_settings(config, encoders, content_hash(*source, fs::path(folder) / "memo.json")),
                    key = sha256(settings);
  build_cache({config, *source, encoders, fs::path(folder) / key, key, settings, 0});
  write_text(fs::path(folder) / ("encoded-" + std::to_string(::getpid())), std::to_string(encoders.encoded_images));
}

TEST_CASE("cache: killed at any shard, it goes on from there and ends with the same bits") {
  const fs::path folder = fresh_folder("killed");
  const fs::path cache_folder = key_folder(folder);
  for (const int shard : {0, 2, 5}) {
    const pid_t child = start_child(folder, "killed" + std::to_string(shard));
    const fs::path awaited = cache_folder / ("pairs-0000" + std::to_string(shard) + ".safetensors");
    for (int i = 0; i < 2000 && !fs::exists(awaited); ++i) ::usleep(5000);
    ::kill(child, SIGKILL);
    CHECK(wait_for(child) == -SIGKILL);
    REQUIRE(fs::exists(awaited));
    REQUIRE_FALSE(has_manifest(cache_folder));
  }
  write_text(cache_folder / "pairs-00005.safetensors", "cut short");  // as a disk that lost power may leave it
  const pid_t child = start_child(folder, "last");
  REQUIRE(wait_for(child) == 0);
  const std::string encoded = read_text(folder / ("encoded-" + std::to_string(child)));
  CHECK(std::stoi(encoded) == 4 * 64);  // rows 0 to 4, which hold four of the eight pairs, were taken over
  FakeEncoders encoders = slow_encoders(0);
  const PairCache resumed = PairCache::open(encoders, slow_config(), folder, 0);
  CHECK(encoders.encoded_images == 0);
  expect_equal_caches(resumed, PairCache::open(encoders, slow_config(), fresh_folder("whole"), 0));
}

TEST_CASE("cache: of two runs at once one builds, the other waits, says so and uses the result") {
  const fs::path folder = fresh_folder("two");
  const fs::path cache_folder = key_folder(folder);
  fs::create_directories(cache_folder);
  const int lock = ::open((cache_folder / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  REQUIRE(::flock(lock, LOCK_EX) == 0);  // a third run, so that both meet a lock that is held
  const pid_t first = start_child(folder, "first"), second = start_child(folder, "second");
  for (const char* name : {"log-first", "log-second"}) {
    for (int i = 0; i < 2000 && !has(read_text(folder / name), "waiting for it"); ++i) ::usleep(5000);
    CHECK(has(read_text(folder / name), "another run is building the cache"));
  }
  CHECK_FALSE(has_manifest(cache_folder));
  ::close(lock);
  CHECK(wait_for(first) == 0);
  CHECK(wait_for(second) == 0);
  int64_t encoded = 0;
  for (const pid_t child : {first, second}) encoded += std::stoll(read_text(folder / ("encoded-" + std::to_string(child))));
  CHECK(encoded == 8 * 64);
}
