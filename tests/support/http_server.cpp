#include "tests/support/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace palate::test {
namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

// The head of a request; false when the connection ends first.
bool read_request(int socket, ServerRequest& request) {
  std::string text;
  char piece[4096];
  while (text.find("\r\n\r\n") == std::string::npos) {
    const ssize_t count = recv(socket, piece, sizeof piece, 0);
    if (count <= 0 || text.size() > 100000) return false;
    text.append(piece, static_cast<size_t>(count));
  }
  std::istringstream lines(text);
  std::string line;
  lines >> request.method >> request.target;
  std::getline(lines, line);
  while (std::getline(lines, line) && line != "\r") {
    const size_t colon = line.find(": ");
    if (colon != std::string::npos) request.headers[lower(line.substr(0, colon))] = line.substr(colon + 2, line.size() - colon - 3);
  }
  return true;
}

bool send_all(int socket, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t count = send(socket, data, size, MSG_NOSIGNAL);
    if (count <= 0) return false;
    data += count;
    size -= static_cast<size_t>(count);
  }
  return true;
}

void send_answer(int socket, const ServerRequest& request, const ServerAnswer& answer) {
  std::string head = "HTTP/1.1 " + std::to_string(answer.status) + " x\r\nConnection: close\r\n";
  for (const auto& [name, value] : answer.headers) head += name + ": " + value + "\r\n";
  if (answer.with_length) head += "Content-Length: " + std::to_string(answer.body.size()) + "\r\n";
  head += "\r\n";
  if (!send_all(socket, head.data(), head.size()) || request.method == "HEAD") return;
  const size_t size = answer.stop_after < 0 ? answer.body.size() : std::min(answer.body.size(), static_cast<size_t>(answer.stop_after));
  if (send_all(socket, answer.body.data(), size) && answer.at_stop) answer.at_stop();
}

}  // namespace

struct HttpServer::State {
  Handler handler;
  int listener = -1, port = 0;
  std::atomic<bool> stopping{false};
  mutable std::mutex mutex;
  std::vector<ServerRequest> received;
  std::vector<std::thread> threads;
  std::thread accepting;

  void serve(int socket) {
    ServerRequest request;
    if (read_request(socket, request)) {
      {
        const std::lock_guard hold(mutex);
        received.push_back(request);
      }
      send_answer(socket, request, handler(request));
    }
    shutdown(socket, SHUT_RDWR);
    close(socket);
  }

  void run() {
    while (!stopping) {
      pollfd ready{listener, POLLIN, 0};
      if (poll(&ready, 1, 50) <= 0) continue;
      const int socket = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
      if (socket >= 0) threads.emplace_back([this, socket] { serve(socket); });
    }
  }
};

HttpServer::HttpServer(Handler handler) : state_(std::make_unique<State>()) {
  state_->handler = std::move(handler);
  state_->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* plain = reinterpret_cast<sockaddr*>(&address);
  if (bind(state_->listener, plain, size) != 0 || listen(state_->listener, 64) != 0 || getsockname(state_->listener, plain, &size) != 0)
    throw std::runtime_error("the test's server cannot listen on 127.0.0.1");
  state_->port = ntohs(address.sin_port);
  state_->accepting = std::thread([this] { state_->run(); });
}

HttpServer::~HttpServer() {
  state_->stopping = true;
  state_->accepting.join();
  for (auto& thread : state_->threads) thread.join();
  close(state_->listener);
}

int HttpServer::port() const { return state_->port; }
std::string HttpServer::url(const std::string& host) const { return "http://" + host + ":" + std::to_string(state_->port); }

std::vector<ServerRequest> HttpServer::received() const {
  const std::lock_guard hold(state_->mutex);
  return state_->received;
}

std::string ServerRequest::header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

}  // namespace palate::test
