#include "palate/hub/environment.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>

#include "palate/core/error.h"
#include "tests/support/paths.h"

using namespace palate;
namespace fs = std::filesystem;

namespace {

// The process's variables, put back afterwards.
class Variables {
 public:
  explicit Variables(const std::map<std::string, std::string>& values) {
    for (const char* name : {"HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "HOME", "HF_TOKEN", "HF_TOKEN_PATH",
                             "HF_HUB_DISABLE_IMPLICIT_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE"}) {
      const char* value = std::getenv(name);
      before_[name] = value ? std::optional<std::string>(value) : std::nullopt;
      unsetenv(name);
    }
    for (const auto& [name, value] : values) setenv(name.c_str(), value.c_str(), 1);
  }
  ~Variables() {
    for (const auto& [name, value] : before_) value ? setenv(name.c_str(), value->c_str(), 1) : unsetenv(name.c_str());
  }

 private:
  std::map<std::string, std::optional<std::string>> before_;
};

fs::path cache_with(const std::map<std::string, std::string>& values) {
  const Variables set(values);
  return hub_cache();
}

std::string token_with(const std::map<std::string, std::string>& values) {
  const Variables set(values);
  return hub_token();
}

}  // namespace

TEST_CASE("hub environment: the cache's place, in huggingface_hub's order") {
  CHECK(cache_with({{"HF_HUB_CACHE", "/c"}, {"HF_HOME", "/h"}, {"XDG_CACHE_HOME", "/x"}, {"HOME", "/me"}}) == "/c");
  CHECK(cache_with({{"HUGGINGFACE_HUB_CACHE", "/old"}, {"HF_HOME", "/h"}}) == "/old");
  CHECK(cache_with({{"HF_HOME", "/h"}, {"XDG_CACHE_HOME", "/x"}, {"HOME", "/me"}}) == "/h/hub");
  CHECK(cache_with({{"XDG_CACHE_HOME", "/x"}, {"HOME", "/me"}}) == "/x/huggingface/hub");
  CHECK(cache_with({{"HOME", "/me"}}) == "/me/.cache/huggingface/hub");
  CHECK(cache_with({{"HF_HUB_CACHE", ""}, {"HF_HOME", ""}, {"HOME", "/me"}}) == "/me/.cache/huggingface/hub");
  CHECK(cache_with({{"HF_HOME", "~/hf"}, {"HOME", "/me"}}) == "/me/hf/hub");
  CHECK(cache_with({{"HF_HUB_CACHE", "near"}}) == fs::current_path() / "near");
  CHECK_THROWS_AS(cache_with({}), UsageError);
}

TEST_CASE("hub environment: offline is 1, true, yes or on") {
  for (const char* value : {"1", "true", "True", "YES", "on"}) {
    const Variables set(std::map<std::string, std::string>{{"HF_HUB_OFFLINE", value}});
    CHECK_MESSAGE(hub_offline(), value);
  }
  for (const char* value : {"", "0", "no", "false", "2"}) {
    const Variables set(std::map<std::string, std::string>{{"HF_HUB_OFFLINE", value}});
    CHECK_FALSE_MESSAGE(hub_offline(), value);
  }
}

TEST_CASE("hub environment: the token is HF_TOKEN, else the file that a login wrote") {
  const fs::path home = test::fresh_folder("hub_token");
  test::write_text(home / "token", "hf_file\n");
  test::write_text(home / "other", "hf_other");
  CHECK(token_with({{"HF_TOKEN", " hf_env\n"}, {"HF_HOME", home.string()}}) == "hf_env");
  CHECK(token_with({{"HF_HOME", home.string()}}) == "hf_file");
  CHECK(token_with({{"HF_TOKEN_PATH", (home / "other").string()}, {"HF_HOME", home.string()}}) == "hf_other");
  CHECK(token_with({{"HF_HOME", home.string()}, {"HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"}}) == "");
  CHECK(token_with({{"HF_HOME", (home / "none").string()}}) == "");
  // One that would end the header and begin another is refused, and not shown.
  CHECK_THROWS_WITH_AS(token_with({{"HF_TOKEN", "hf_a\r\nX-Evil: secret"}, {"HF_HOME", home.string()}}),
                       "HF_TOKEN: expected a token in one line of plain characters, found others in it", UsageError);
}

TEST_CASE("hub environment: the endpoint is an http or https address") {
  const auto endpoint_with = [](const std::string& value) {
    const Variables set(std::map<std::string, std::string>{{"HF_ENDPOINT", value}});
    return hub_endpoint();
  };
  CHECK(endpoint_with("") == "https://huggingface.co");
  CHECK(endpoint_with("https://hf-mirror.com/") == "https://hf-mirror.com");
  CHECK(endpoint_with("http://127.0.0.1:8080/hub") == "http://127.0.0.1:8080/hub");
  for (const char* value : {"hf-mirror.com", "ftp://x", "https://", "file:///x", "https://a b", "https://user:word@host", "https://x?y"})
    CHECK_THROWS_AS(endpoint_with(value), UsageError);
}
