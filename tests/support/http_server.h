// An HTTP server on this machine for tests: one request a connection, one thread each. It can break off, stall, and say anything.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace palate::test {

struct ServerRequest {
  std::string method, target;                  // "GET", "/api/models?x=y"
  std::map<std::string, std::string> headers;  // names in lower case
  std::string header(const std::string& name) const;
};

struct ServerAnswer {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string body = {};
  int64_t stop_after = -1;             // bytes of the body, then the connection is cut; -1: all of it
  std::function<void()> at_stop = {};  // called when the bytes before `stop_after` are sent
  bool with_length = true;             // Content-Length; without, the end of the connection is the end of the body
};

class HttpServer {
 public:
  using Handler = std::function<ServerAnswer(const ServerRequest&)>;  // called from several threads
  explicit HttpServer(Handler handler);                               // listens on 127.0.0.1, at a free port
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;

  int port() const;
  std::string url(const std::string& host = "127.0.0.1") const;  // "http://127.0.0.1:1234"
  std::vector<ServerRequest> received() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace palate::test
