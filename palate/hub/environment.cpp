#include "palate/hub/environment.h"

#include <algorithm>
#include <cstdlib>

#include "palate/core/error.h"
#include "palate/core/text.h"
#include "palate/io/atomic_file.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// A ~ that no shell has expanded, as in a .env file.
fs::path with_home(const std::string& path) {
  if (path != "~" && !path.starts_with("~/")) return path;
  return variable("HOME") + path.substr(1);
}

fs::path hub_home() {
  if (const std::string home = variable("HF_HOME"); !home.empty()) return with_home(home);
  if (const std::string cache = variable("XDG_CACHE_HOME"); !cache.empty()) return with_home(cache) / "huggingface";
  const std::string home = variable("HOME");
  check<UsageError>(!home.empty(), "the Hugging Face cache has no place: set HF_HOME or HF_HUB_CACHE (HOME is not set either)");
  return fs::path(home) / ".cache/huggingface";
}

bool is_true(const std::string& given) {
  const std::string value = lowered(given);
  return value == "1" || value == "true" || value == "yes" || value == "on";
}

std::string trimmed(const std::string& text) { return std::string(stripped(text)); }

}  // namespace

fs::path hub_cache() {
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) {  // the second is the older name
    if (const std::string cache = variable(name); !cache.empty()) return fs::absolute(with_home(cache));
  }
  return fs::absolute(hub_home() / "hub");
}

bool hub_offline() { return is_true(variable("HF_HUB_OFFLINE")); }

std::string hub_endpoint() {
  std::string endpoint = trimmed(variable("HF_ENDPOINT"));
  if (endpoint.empty()) return "https://huggingface.co";
  while (endpoint.ends_with('/')) endpoint.pop_back();
  const size_t host = endpoint.starts_with("https://") ? 8 : endpoint.starts_with("http://") ? 7 : std::string::npos;
  check<UsageError>(host != std::string::npos && endpoint.size() > host && endpoint.find_first_of(" \t\r\n@?#\\") == std::string::npos,
                    "HF_ENDPOINT: expected an address such as https://huggingface.co, found '", endpoint, "'");
  return endpoint;
}

std::string hub_token() {
  std::string token = trimmed(variable("HF_TOKEN")), from = "HF_TOKEN";
  if (token.empty() && !is_true(variable("HF_HUB_DISABLE_IMPLICIT_TOKEN"))) {
    const std::string named = variable("HF_TOKEN_PATH");
    const fs::path file = named.empty() ? hub_home() / "token" : with_home(named);
    std::error_code ignored;
    if (fs::is_regular_file(file, ignored)) token = trimmed(read_file(file));
    from = file.string();
  }
  const bool plain = std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c <= '~'; });
  check<UsageError>(plain, from, ": expected a token in one line of plain characters, found others in it");
  return token;
}

}  // namespace palate
