// What a repository holds at a revision, from the hub's API. Everything in it is foreign: names that lead out of the folder, hashes
// that are none and sizes below zero are refused.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "palate/hub/client.h"

namespace palate {

struct RepoFile {
  std::string path;   // "vae/config.json"; passes path_fault()
  int64_t size = -1;  // -1: the listing does not say
  std::string etag;   // SHA-256 (64 digits) of a large file, git's SHA-1 (40 digits) of a small one; "": the listing does not say
};

struct RepoListing {
  std::string commit;           // 40 hexadecimal digits
  std::vector<RepoFile> files;  // in the listing's order, no path twice
};

// /api/models/NAME/revision/REV for the commit, then the pages of /api/models/NAME/tree/COMMIT.
RepoListing list_repo(HubClient& client, const RepoAt& at);

// Adds the files of one page; `origin` names it in errors. FormatError.
void add_tree_page(RepoListing& listing, const Json& page, const std::string& origin);
// FormatError when a path is there twice, or as a file and as a folder.
void check_paths(const RepoListing& listing, const std::string& origin);

// Asks for what the listing did not say (HEAD: X-Linked-Etag, else ETag; X-Linked-Size, else Content-Length).
void complete_file(HubClient& client, const RepoAt& at, const std::string& commit, RepoFile& file);

// Of an HTTP header: without W/ and quotes. FormatError when it cannot be a file's name.
std::string plain_etag(const std::string& header, const std::string& origin);

// The address of a file's contents.
std::string file_url(const HubServer& server, const Repo& repo, const std::string& commit, const std::string& path);

}  // namespace palate
