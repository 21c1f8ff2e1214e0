#include "palate/hub/client.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "palate/core/log.h"

namespace palate {
namespace {

constexpr int kRedirects = 10, kAttempts = 6;
constexpr size_t kLongestJson = size_t{64} << 20;

std::string with_token(const HubServer& server) {
  return server.token.empty() ? "set HF_TOKEN to a token of yours (" + server.endpoint + "/settings/tokens)"
                              : "the token that HF_TOKEN gives has no access to it";
}

[[noreturn]] void refuse(const HttpAnswer& answer, const HubServer& server, const Repo& repo, const std::string& what) {
  const std::string code = answer.header("x-error-code"), page = server.endpoint + "/" + repo.files();
  if (code == "GatedRepo") {
    fail<IoError>(repo.name, ": its owners give it to those who accept its terms: accept them at ", page,
                  server.token.empty() ? " and set HF_TOKEN to a token of yours" : " with the account that HF_TOKEN belongs to");
  }
  if (code == "RevisionNotFound")
    fail<IoError>(repo.name, ": ", server.endpoint, " knows no ", what, ": its branches and tags stand at ", page, "/tree/main");
  if (code == "EntryNotFound") fail<IoError>(repo.name, ": ", server.endpoint, " has no ", what);
  // The hub answers 401 for a repository that does not exist too, so as not to tell which private ones do.
  if (answer.status == 401 || code == "RepoNotFound") {
    fail<IoError>(repo.name, ": ", server.endpoint, " knows no such ", repo.type == RepoType::model ? "model" : "dataset",
                  ", or it is private: look at the name, and ",
                  server.token.empty() ? with_token(server) : "whether the token that HF_TOKEN gives may read it");
  }
  if (answer.status == 403)
    fail<IoError>(repo.name, ": ", server.endpoint, " gives no access to ", what, " (403): ", with_token(server), ", or ask for access at ",
                  page);
  if (answer.status == 404)
    fail<IoError>(repo.name, ": ", server.endpoint, " has no ", what, " (404): look at the name, and at HF_ENDPOINT if it is set");
  fail<IoError>(repo.name, ": ", server.endpoint, " answered ", what, " with status ", answer.status, ", expected 200");
}

bool may_pass(int64_t status) { return status == 408 || status == 429 || status >= 500; }

}  // namespace

HubClient::HubClient(HubServer server, std::function<bool()> cancelled)
    : server_(std::move(server)), origin_(origin_of(server_.endpoint)), session_(std::move(cancelled)) {}

HttpAnswer HubClient::send(HttpRequest request, const Repo& repo, const std::string& what) {
  const auto begin = std::exchange(request.begin, nullptr);
  for (int hop = 0; hop <= kRedirects; ++hop) {
    const std::string origin = origin_of(request.url);
    request.token = origin == origin_ ? server_.token : "";
    request.begin = [&](const HttpAnswer& answer) {
      if (begin && (answer.status == 200 || answer.status == 206)) begin(answer);
    };
    HttpAnswer answer = session_.send(request);
    if (answer.status == 200 || answer.status == 206) return answer;
    if (answer.redirects()) {
      const std::string next = origin_of(answer.location);
      check<IoError>(!next.empty() && !(origin.starts_with("https://") && next.starts_with("http://")), repo.name, ": ",
                     shown_url(request.url), " redirects to '", shown_url(answer.location), "', expected an https address");
      if (request.head && (next != origin_ || !answer.header("x-linked-etag").empty())) return answer;
      request.url = answer.location;
      continue;
    }
    if (may_pass(answer.status)) {
      const int seconds = std::clamp(std::atoi(answer.header("retry-after").c_str()), 0, 60);
      throw BrokenConnection(concat(shown_url(request.url), ": the server answered with status ", answer.status), seconds);
    }
    // What a storage server behind the hub refuses is an address that has expired: the hub gives a fresh one.
    if (origin != origin_ && answer.status == 403)
      throw BrokenConnection(concat(shown_url(request.url), ": the server answered with status 403"));
    refuse(answer, server_, repo, what);
  }
  fail<IoError>(repo.name, ": ", what, " was redirected more than ", kRedirects, " times");
}

void HubClient::patiently(const std::function<void()>& attempt) {
  Patience patience(server_.wait, [this] { return session_.cancelled(); });
  for (;;) {
    try {
      return attempt();
    } catch (const BrokenConnection& error) {
      patience.wait(error, false);
    }
  }
}

HttpAnswer HubClient::head(const std::string& url, const Repo& repo, const std::string& what) {
  HttpRequest request;
  request.url = url;
  request.head = true;
  HttpAnswer answer;
  patiently([&] { answer = send(request, repo, what); });
  return answer;
}

Json HubClient::json(const std::string& url, const Repo& repo, const std::string& what, HttpAnswer* answer) {
  std::string text;
  HttpRequest request;
  request.url = url;
  request.take = [&](std::string_view piece) {
    check<FormatError>(text.size() + piece.size() <= kLongestJson, shown_url(url), ": expected a listing of at most 64 MB, found more");
    text += piece;
  };
  patiently([&] {
    text.clear();
    const HttpAnswer got = send(request, repo, what);
    if (answer) *answer = got;
  });
  return parse_json(text, shown_url(url));
}

void Patience::wait(const BrokenConnection& error, bool progressed) {
  failures_ = progressed ? 1 : failures_ + 1;
  if (failures_ >= kAttempts)
    throw Unreachable(concat(error.what(), " (", kAttempts, " times in a row; the same command goes on from where it stopped)"));
  const int milliseconds = error.wait_seconds > 0 ? error.wait_seconds * 1000 : first_wait_ << (failures_ - 1);
  log_detail(concat(error.what(), "; trying again"));
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
  while (std::chrono::steady_clock::now() < end) {
    check<IoError>(!cancelled_(), "interrupted");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

}  // namespace palate
