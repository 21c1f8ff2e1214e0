#include "palate/hub/repo.h"

#include <algorithm>
#include <cctype>

#include "palate/core/error.h"

namespace palate {
namespace {

bool plain(unsigned char c) { return c < 128 && (std::isalnum(c) || c == '-' || c == '_' || c == '.'); }

bool is_part(std::string_view part) {
  const auto edge = [](char c) { return c == '-' || c == '.'; };
  return !part.empty() && std::all_of(part.begin(), part.end(), plain) && !edge(part.front()) && !edge(part.back());
}

}  // namespace

std::string Repo::cache_folder() const {
  std::string folder = (type == RepoType::model ? "models--" : "datasets--") + name;
  if (const size_t slash = folder.find('/'); slash != std::string::npos) folder.replace(slash, 1, "--");
  return folder;
}

std::string Repo::api() const { return (type == RepoType::model ? "api/models/" : "api/datasets/") + name; }
std::string Repo::files() const { return (type == RepoType::model ? "" : "datasets/") + name; }

bool is_repo_name(std::string_view name) {
  if (name.size() > 96 || name.find("--") != std::string_view::npos || name.find("..") != std::string_view::npos) return false;
  if (name.ends_with(".git")) return false;
  const size_t slash = name.find('/');
  return slash == std::string_view::npos ? is_part(name) : is_part(name.substr(0, slash)) && is_part(name.substr(slash + 1));
}

bool names_repo(std::string_view text) {
  const size_t at = text.find('@');
  const std::string_view name = text.substr(0, at);
  return name.find('/') != std::string_view::npos && is_repo_name(name) &&
         (at == std::string_view::npos || path_fault(text.substr(at + 1)).empty());
}

RepoAt parse_repo(const std::string& text, RepoType type) {
  const size_t at = text.find('@');
  RepoAt found{{type, text.substr(0, at)}, at == std::string::npos ? "main" : text.substr(at + 1)};
  check<UsageError>(is_repo_name(found.repo.name), "expected a repository's name such as ORG/NAME or ORG/NAME@REVISION, found '", text,
                    "'");
  const std::string fault = path_fault(found.revision);
  check<UsageError>(fault.empty(), text, ": the revision cannot be used: ", fault);
  return found;
}

bool is_commit(std::string_view revision) {
  return revision.size() == 40 && revision.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string path_fault(std::string_view path) {
  if (path.empty()) return "it is empty";
  if (path.size() > 1024) return "it is longer than 1024 characters";
  if (path.front() == '/') return "it is an absolute path";
  for (const char c : path) {
    if (c == '\\') return "it holds a backslash";
    if (static_cast<unsigned char>(c) < 32 || c == 127) return "it holds a control character";
  }
  for (size_t start = 0; start <= path.size();) {
    const size_t end = std::min(path.find('/', start), path.size());
    const std::string_view part = path.substr(start, end - start);
    if (part.empty()) return "a part of it is empty";
    if (part == "." || part == "..") return "it leads out of its folder";
    if (part.size() > 255) return "a part of it is longer than 255 characters";
    start = end + 1;
  }
  return "";
}

std::string url_quoted(std::string_view text, bool slash) {
  static const char* digits = "0123456789ABCDEF";
  std::string quoted;
  for (const unsigned char c : text) {
    if (plain(c) || c == '~' || (slash && c == '/')) {
      quoted += static_cast<char>(c);
    } else {
      quoted += {'%', digits[c >> 4], digits[c & 15]};
    }
  }
  return quoted;
}

}  // namespace palate
