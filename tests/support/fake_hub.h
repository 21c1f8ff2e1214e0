// A hub of one repository: its API and its files at 127.0.0.1, its large files at another server, localhost. Public members are set
// before the first request; what is set in between is seen by the next one.
#pragma once

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "tests/support/http_server.h"

namespace palate::test {

std::string git_sha1(const std::string& bytes);  // as `git hash-object` has it

class FakeHub {
 public:
  explicit FakeHub(std::string repo = "tiny/model");

  std::string repo, kind = "models";
  std::string commit = std::string(40, 'c');
  std::map<std::string, std::string> files;  // contents by path; *.safetensors and *.parquet are large files

  std::string token;  // asked for everywhere at the endpoint, when it is not empty
  bool gated = false, ranges = true, oids = true, lengths = true;
  size_t page = 1000;                                    // files of the listing on a page
  std::string entries;                                   // JSON put at the head of the first page's list: "{...},"
  std::map<std::string, std::vector<int64_t>> breaks;    // by path: each answer stops after so many bytes, then none
  std::map<std::string, std::string> sent_instead;       // by path: other bytes of the same length
  std::map<std::string, int> busy;                       // by path: so many answers of 503 first
  std::map<std::string, std::function<void()>> at_half;  // by path: called when half of it is sent; the other half is not

  const HttpServer& hub() const { return hub_; }
  const HttpServer& storage() const { return storage_; }
  std::string blob_name(const std::string& path) const;  // the ETag
  // Of both servers, the requests for a file's contents, with their ranges: "GET unet/x 0", "GET unet/x 1000".
  std::vector<std::string> fetched() const;

 private:
  ServerAnswer answer_hub(const ServerRequest& request);
  ServerAnswer answer_api(const ServerRequest& request, const std::string& rest);
  ServerAnswer contents(const ServerRequest& request, const std::string& path);
  bool large(const std::string& path) const { return path.ends_with(".safetensors") || path.ends_with(".parquet"); }
  std::string listing(size_t first, size_t last) const;

  mutable std::mutex mutex_;
  std::vector<std::string> fetched_;
  HttpServer storage_, hub_;  // last: their threads use what stands above
};

}  // namespace palate::test
