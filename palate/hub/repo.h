// Names that the hub or a person gives: repositories, revisions, files. What could lead out of a folder is refused.
#pragma once

#include <string>
#include <string_view>

namespace palate {

enum class RepoType { model, dataset };

struct Repo {
  RepoType type = RepoType::model;
  std::string name;                  // "ORG/NAME", or "NAME" of the hub's first repositories
  std::string cache_folder() const;  // "models--ORG--NAME"
  std::string api() const;           // "api/models/ORG/NAME"
  std::string files() const;         // "ORG/NAME", "datasets/ORG/NAME"
};

struct RepoAt {
  Repo repo;
  std::string revision;  // branch, tag, commit; "main" when none is named
};

// The hub's own rule: one or two parts of letters, digits, '-', '_' and '.', none of them first or last '-' or '.', no "--" or "..",
// at most 96 characters, no ".git" at the end.
bool is_repo_name(std::string_view name);

// "ORG/NAME" or "ORG/NAME@REVISION" as it may stand where a model folder is expected: two parts, not one.
bool names_repo(std::string_view text);

// Splits and checks. UsageError says what a name looks like.
RepoAt parse_repo(const std::string& text, RepoType type = RepoType::model);

bool is_commit(std::string_view revision);  // 40 hexadecimal digits

// Why a file's name in a listing, or a revision's, is refused ("it leads out of its folder"); "" when it is a plain relative path.
std::string path_fault(std::string_view path);

// Percent-encoded for an address; a slash only where `slash` keeps it.
std::string url_quoted(std::string_view text, bool slash);

}  // namespace palate
