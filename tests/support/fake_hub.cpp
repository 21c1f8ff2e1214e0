#include "tests/support/fake_hub.h"

#include <openssl/evp.h>

#include <cstdlib>
#include <utility>

namespace palate::test {
namespace {

std::string digest(const EVP_MD* kind, const std::string& bytes) {
  unsigned char raw[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_Digest(bytes.data(), bytes.size(), raw, &size, kind, nullptr);
  static const char* digits = "0123456789abcdef";
  std::string text;
  for (unsigned int i = 0; i < size; ++i) text += {digits[raw[i] >> 4], digits[raw[i] & 15]};
  return text;
}

std::string unquoted(const std::string& text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool quoted = text[i] == '%' && i + 2 < text.size();
    plain += quoted ? static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16)) : text[i];
    if (quoted) i += 2;
  }
  return plain;
}

ServerAnswer refusal(int status, const char* code) { return {.status = status, .headers = {{"X-Error-Code", code}}, .body = "{}"}; }

}  // namespace

std::string git_sha1(const std::string& bytes) {
  return digest(EVP_sha1(), "blob " + std::to_string(bytes.size()) + std::string(1, '\0') + bytes);
}

FakeHub::FakeHub(std::string name)
    : repo(std::move(name)),
      storage_([this](const ServerRequest& request) { return contents(request, request.target.substr(1, request.target.find('?') - 1)); }),
      hub_([this](const ServerRequest& request) { return answer_hub(request); }) {}

std::string FakeHub::blob_name(const std::string& path) const {
  const std::string& bytes = files.at(path);
  return large(path) ? digest(EVP_sha256(), bytes) : git_sha1(bytes);
}

std::vector<std::string> FakeHub::fetched() const {
  const std::lock_guard hold(mutex_);
  return fetched_;
}

std::string FakeHub::listing(size_t first, size_t last) const {
  std::string text = "[" + (first == 0 ? entries : "");
  size_t at = 0;
  for (const auto& [path, bytes] : files) {
    if (at++ < first || at > last) continue;
    text += "{\"type\":\"file\",\"path\":\"" + path + "\",\"size\":" + std::to_string(bytes.size());
    if (oids) text += ",\"oid\":\"" + git_sha1(bytes) + "\"";
    if (oids && large(path)) text += ",\"lfs\":{\"oid\":\"" + blob_name(path) + "\",\"size\":" + std::to_string(bytes.size()) + "}";
    text += "},";
  }
  return text + "{\"type\":\"directory\",\"path\":\"unet\",\"oid\":\"\",\"size\":0}]";
}

ServerAnswer FakeHub::answer_api(const ServerRequest& request, const std::string& rest) {
  if (rest == "/revision/main" || rest == "/revision/" + commit) return {.body = "{\"id\":\"" + repo + "\",\"sha\":\"" + commit + "\"}"};
  const std::string tree = "/tree/" + commit + "?recursive=true";
  if (!rest.starts_with(tree)) return refusal(404, "RevisionNotFound");
  const size_t cursor = rest.find("&cursor="),
               first = cursor == std::string::npos ? 0 : std::strtoul(rest.c_str() + cursor + 8, nullptr, 10);
  ServerAnswer answer{.body = listing(first, first + page)};
  if (first + page < files.size())
    answer.headers.push_back({"Link", "<" + hub_.url() + "/" + request.target.substr(1, request.target.find("&cursor=") - 1) +
                                          "&cursor=" + std::to_string(first + page) + ">; rel=\"next\""});
  return answer;
}

ServerAnswer FakeHub::answer_hub(const ServerRequest& request) {
  if (!token.empty() && request.header("authorization") != "Bearer " + token) return refusal(401, "RepoNotFound");
  const std::string api = "/api/" + kind + "/" + repo,
                    resolve = (kind == "models" ? "/" : "/" + kind + "/") + repo + "/resolve/" + commit + "/";
  if (request.target.starts_with(api + "/")) return answer_api(request, request.target.substr(api.size()));
  if (!request.target.starts_with(resolve)) return refusal(404, "RepoNotFound");
  if (gated) return refusal(403, "GatedRepo");
  const std::string path = unquoted(request.target.substr(resolve.size()));
  if (!files.contains(path)) return refusal(404, "EntryNotFound");
  if (!large(path)) return contents(request, path);
  return {.status = 302,
          .headers = {{"Location", storage_.url("localhost") + "/" + path + "?signature=secret"},
                      {"X-Repo-Commit", commit},
                      {"X-Linked-Etag", "\"" + blob_name(path) + "\""},
                      {"X-Linked-Size", std::to_string(files.at(path).size())}}};
}

ServerAnswer FakeHub::contents(const ServerRequest& request, const std::string& path) {
  const std::lock_guard hold(mutex_);
  const std::string& bytes = sent_instead.contains(path) ? sent_instead.at(path) : files.at(path);
  const std::string range = request.header("range");
  const size_t from = ranges && range.starts_with("bytes=") ? std::strtoul(range.c_str() + 6, nullptr, 10) : 0;
  if (request.method == "GET") fetched_.push_back("GET " + path + " " + std::to_string(from));
  if (busy[path]-- > 0) return {.status = 503};
  ServerAnswer answer{.body = bytes.substr(from), .with_length = lengths};
  if (from > 0) {
    answer.status = 206;
    answer.headers.push_back(
        {"Content-Range", "bytes " + std::to_string(from) + "-" + std::to_string(bytes.size() - 1) + "/" + std::to_string(bytes.size())});
  }
  answer.headers.push_back({"ETag", large(path) ? "\"of-the-storage\"" : "W/\"" + blob_name(path) + "\""});
  auto& stops = breaks[path];
  if (!stops.empty()) {
    answer.stop_after = stops.front();
    stops.erase(stops.begin());
  }
  if (const auto call = at_half.find(path); call != at_half.end() && call->second) {
    answer.stop_after = static_cast<int64_t>(answer.body.size() / 2);
    answer.at_stop = std::exchange(call->second, nullptr);
  }
  return answer;
}

}  // namespace palate::test
