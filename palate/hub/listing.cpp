#include "palate/hub/listing.h"

#include <cctype>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <set>

namespace palate {
namespace {

constexpr size_t kMostFiles = 1000000, kMostPages = 10000;

std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

int64_t size_of(const Json& object, const std::string& origin, const std::string& path) {
  const auto found = object.find("size");
  if (found == object.end() || found->is_null()) return -1;
  check<FormatError>(found->is_number_integer() && (!found->is_number_unsigned() || found->get<uint64_t>() < uint64_t{1} << 62) &&
                         found->get<int64_t>() >= 0,
                     origin, ": expected a size in bytes of '", path, "', found ", found->dump());
  return found->get<int64_t>();
}

bool is_hash(const std::string& text, size_t digits) {
  return text.size() == digits && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// <https://.../tree/...?cursor=...>; rel="next"
std::string next_page(const std::string& link) {
  for (size_t start = link.find('<'); start != std::string::npos; start = link.find('<', start + 1)) {
    const size_t end = link.find('>', start);
    if (end == std::string::npos) return "";
    const std::string rest = link.substr(end, link.find('<', end) - end);
    if (rest.find("rel=\"next\"") != std::string::npos) return link.substr(start + 1, end - start - 1);
  }
  return "";
}

}  // namespace

void add_tree_page(RepoListing& listing, const Json& page, const std::string& origin) {
  check<FormatError>(page.is_array(), origin, ": expected a list of files, found ", page.type_name());
  for (const auto& entry : page) {
    check<FormatError>(entry.is_object(), origin, ": expected an object for each file, found ", entry.type_name());
    if (text_of(entry, "type") != "file") continue;
    RepoFile file{.path = text_of(entry, "path"), .size = -1, .etag = text_of(entry, "oid")};
    const std::string fault = path_fault(file.path);
    check<FormatError>(fault.empty(), origin, ": the file name '", file.path, "' is refused: ", fault);
    check<FormatError>(listing.files.size() < kMostFiles, origin, ": expected at most ", kMostFiles, " files, found more");
    file.size = size_of(entry, origin, file.path);
    size_t digits = 40;
    if (const auto lfs = entry.find("lfs"); lfs != entry.end() && lfs->is_object()) {
      file.etag = text_of(*lfs, "oid");
      if (file.etag.starts_with("sha256:")) file.etag.erase(0, 7);
      file.size = size_of(*lfs, origin, file.path);
      digits = 64;
    }
    check<FormatError>(file.etag.empty() || is_hash(file.etag, digits), origin, ": expected ", digits,
                       " hexadecimal digits as the hash of '", file.path, "', found '", file.etag, "'");
    listing.files.push_back(std::move(file));
  }
}

void check_paths(const RepoListing& listing, const std::string& origin) {
  std::set<std::string> files;
  for (const auto& file : listing.files)
    check<FormatError>(files.insert(file.path).second, origin, ": the file '", file.path, "' is listed twice");
  for (const auto& file : listing.files) {
    for (size_t slash = file.path.find('/'); slash != std::string::npos; slash = file.path.find('/', slash + 1)) {
      const std::string folder = file.path.substr(0, slash);
      check<FormatError>(!files.contains(folder), origin, ": '", folder, "' is listed as a file and as the folder of '", file.path, "'");
    }
  }
}

RepoListing list_repo(HubClient& client, const RepoAt& at) {
  const std::string api = client.server().endpoint + "/" + at.repo.api(), revision = "revision '" + at.revision + "'";
  const std::string about = api + "/revision/" + url_quoted(at.revision, false);
  const Json info = client.json(about, at.repo, revision);
  RepoListing listing;
  listing.commit = info.is_object() ? text_of(info, "sha") : "";
  check<FormatError>(is_commit(listing.commit), about, ": expected the commit as 'sha', found '", listing.commit,
                     "': is HF_ENDPOINT a server of the hub's API?");
  std::string url = api + "/tree/" + listing.commit + "?recursive=true&expand=false";
  for (size_t page = 0; !url.empty(); ++page) {
    check<FormatError>(page < kMostPages, api, ": expected a listing of at most ", kMostPages, " pages, found more");
    HttpAnswer answer;
    const Json files = client.json(url, at.repo, "list of files", &answer);
    add_tree_page(listing, files, shown_url(url));
    url = next_page(answer.header("link"));
  }
  check_paths(listing, api);
  return listing;
}

std::string plain_etag(const std::string& header, const std::string& origin) {
  std::string etag = header.starts_with("W/") ? header.substr(2) : header;
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') etag = etag.substr(1, etag.size() - 2);
  bool plain = !etag.empty() && etag.size() <= 128 && etag.front() != '.';
  for (const unsigned char c : etag) plain = plain && c < 128 && (std::isalnum(c) || c == '-' || c == '_' || c == '.');
  check<FormatError>(plain, origin, ": expected an ETag that can name a file, found '", header, "'");
  return etag;
}

void complete_file(HubClient& client, const RepoAt& at, const std::string& commit, RepoFile& file) {
  const std::string url = file_url(client.server(), at.repo, commit, file.path);
  const HttpAnswer answer = client.head(url, at.repo, file.path);
  const auto first = [&](const char* linked, const char* plain) {
    return answer.header(linked).empty() ? answer.header(plain) : answer.header(linked);
  };
  file.etag = plain_etag(first("x-linked-etag", "etag"), url);
  const std::string size = answer.redirects() ? answer.header("x-linked-size") : first("x-linked-size", "content-length");
  check<FormatError>(!size.empty() && size.size() < 19 && size.find_first_not_of("0123456789") == std::string::npos, url,
                     ": expected the file's size in bytes, found '", size, "'");
  file.size = std::atoll(size.c_str());
}

std::string file_url(const HubServer& server, const Repo& repo, const std::string& commit, const std::string& path) {
  return server.endpoint + "/" + repo.files() + "/resolve/" + commit + "/" + url_quoted(path, true);
}

}  // namespace palate
