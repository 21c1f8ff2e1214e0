// Requests to the hub: redirects followed by hand, so that the token is sent to the endpoint's own server and to no other; broken
// connections tried again; refusals put into a sentence that says what to do.
#pragma once

#include <functional>
#include <string>

#include "palate/hub/http.h"
#include "palate/hub/repo.h"
#include "palate/io/json.h"

namespace palate {

struct HubServer {
  std::string endpoint;  // without a slash at the end
  std::string token;     // "" for none
  int wait = 200;        // milliseconds after the first of several broken connections; twice as long after each
};

// A connection that broke again and again.
class Unreachable : public IoError {
 public:
  using IoError::IoError;
};

class HubClient {
 public:
  HubClient(HubServer server, std::function<bool()> cancelled);

  const HubServer& server() const { return server_; }

  // Follows up to ten redirects; `begin` and `take` see the last answer only. An answer that is neither 200 nor 206 is an error: a
  // BrokenConnection for a server that is busy or broken, else an IoError about `repo` and `what` ("vae/config.json").
  HttpAnswer send(HttpRequest request, const Repo& repo, const std::string& what);

  // The headers alone, of the endpoint's own last answer: a redirect to another server is not followed, nor one that says what it
  // leads to (X-Linked-Etag). Tried again when the connection breaks.
  HttpAnswer head(const std::string& url, const Repo& repo, const std::string& what);

  // A JSON document of at most 64 MB, tried again when the connection breaks. `answer` takes its headers, if given.
  Json json(const std::string& url, const Repo& repo, const std::string& what, HttpAnswer* answer = nullptr);

 private:
  void patiently(const std::function<void()>& attempt);
  HubServer server_;
  std::string origin_;
  HttpSession session_;
};

// How often a broken connection is made again: a longer wait each time, and Unreachable after six without any progress.
class Patience {
 public:
  Patience(int first_wait, std::function<bool()> cancelled) : first_wait_(first_wait), cancelled_(std::move(cancelled)) {}
  // Waits, or throws what `error` says when that was one too many.
  void wait(const BrokenConnection& error, bool progressed);

 private:
  int first_wait_;
  std::function<bool()> cancelled_;
  int failures_ = 0;
};

}  // namespace palate
