// One HTTP request after another through libcurl, without redirects: who may see the token is decided above (client.h).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "palate/core/error.h"

namespace palate {

// A connection that could not be made or broke, or a server that is busy: the same request may succeed later.
class BrokenConnection : public IoError {
 public:
  explicit BrokenConnection(const std::string& what, int seconds = 0) : IoError(what), wait_seconds(seconds) {}
  int wait_seconds;  // what the server asked for (Retry-After), else 0
};

struct HttpAnswer {
  int64_t status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string location;                        // of a redirect, as an absolute address
  std::string header(const std::string& name) const;
  bool redirects() const { return status >= 300 && status < 400 && !location.empty(); }
};

struct HttpRequest {
  std::string url;
  bool head = false;
  std::string token;                             // "" sends none
  int64_t from = 0;                              // Range: bytes=FROM-, when it is not 0
  std::function<void(const HttpAnswer&)> begin;  // the headers are there; may throw
  std::function<void(std::string_view)> take;    // a piece of the body of an answer of 200 or 206; may throw
};

class HttpSession {
 public:
  // `cancelled` is asked about once a second, and at every piece; true ends the request with an Error.
  explicit HttpSession(std::function<bool()> cancelled);
  ~HttpSession();
  HttpSession(const HttpSession&) = delete;

  // BrokenConnection for what may pass, IoError for what will not (a certificate that is not trusted, an address that is none).
  HttpAnswer send(const HttpRequest& request);
  bool cancelled() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// "https://huggingface.co:443": scheme, host and port, by which two addresses are the same server. "" when it is no http or https address.
std::string origin_of(const std::string& url);
// "https://huggingface.co/x", without what a signed address has in its query.
std::string shown_url(const std::string& url);

}  // namespace palate
