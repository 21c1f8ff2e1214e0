#include "palate/hub/http.h"

#include <curl/curl.h>

#include <cstdlib>
#include <exception>
#include <mutex>

#include "palate/core/text.h"

namespace palate {
namespace {

constexpr long kConnectSeconds = 15, kSilentSeconds = 30;  // without one byte, before a connection counts as broken

void start_curl() {
  static std::once_flag once;
  std::call_once(once, [] { check<IoError>(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK, "libcurl could not be started"); });
}

bool may_pass(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_WEIRD_SERVER_REPLY:
      return true;
    default:
      return false;
  }
}

// A company's proxy has a certificate of its own; other clients take it from one of these.
const char* certificates() {
  for (const char* name : {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}) {
    const char* file = std::getenv(name);
    if (file && *file) return file;
  }
  return nullptr;
}

}  // namespace

std::string HttpAnswer::header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

struct HttpSession::State {
  std::function<bool()> cancelled;
  CURL* curl = nullptr;
  const HttpRequest* request = nullptr;
  HttpAnswer answer;
  bool begun = false;
  std::exception_ptr thrown;  // by a callback: it may not pass through C
  char reason[CURL_ERROR_SIZE] = "";

  template <class Call>
  bool guarded(const Call& call) {
    try {
      call();
      return true;
    } catch (...) {
      thrown = std::current_exception();
      return false;
    }
  }

  // The status is known once the headers have ended; of a redirect also where it leads.
  void begin() {
    if (begun) return;
    begun = true;
    long status = 0;
    char* location = nullptr;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(curl, CURLINFO_REDIRECT_URL, &location);
    answer.status = status;
    answer.location = location ? location : "";
    if (request->begin) request->begin(answer);
  }

  static size_t on_header(char* data, size_t, size_t size, void* self) {
    auto& state = *static_cast<State*>(self);
    const std::string_view line(data, size);
    if (line.starts_with("HTTP/")) state.answer.headers.clear();  // of an answer before this one (100 Continue)
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || state.answer.headers.size() > 200) return size;
    const size_t first = line.find_first_not_of(" \t", colon + 1), last = line.find_last_not_of(" \t\r\n");
    const bool empty = first == std::string_view::npos || last < first;
    state.answer.headers[lowered(std::string(line.substr(0, colon)))] = empty ? "" : std::string(line.substr(first, last - first + 1));
    return size;
  }

  static size_t on_body(char* data, size_t, size_t size, void* self) {
    auto& state = *static_cast<State*>(self);
    const bool fine = state.guarded([&] {
      state.begin();
      const bool wanted = state.answer.status == 200 || state.answer.status == 206;
      if (wanted && state.request->take) state.request->take({data, size});
    });
    return fine ? size : 0;
  }

  static int on_time(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) { return static_cast<State*>(self)->cancelled() ? 1 : 0; }
};

HttpSession::HttpSession(std::function<bool()> cancelled) : state_(std::make_unique<State>()) {
  start_curl();
  state_->cancelled = std::move(cancelled);
  state_->curl = curl_easy_init();
  check<IoError>(state_->curl != nullptr, "libcurl could not be started");
}

HttpSession::~HttpSession() { curl_easy_cleanup(state_->curl); }

bool HttpSession::cancelled() const { return state_->cancelled(); }

HttpAnswer HttpSession::send(const HttpRequest& request) {
  State& state = *state_;
  CURL* curl = state.curl;
  state.request = &request;
  state.answer = {};
  state.begun = false;
  state.thrown = nullptr;
  state.reason[0] = 0;
  curl_easy_reset(curl);  // keeps the connection
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_NOBODY, request.head ? 1L : 0L);
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
#if LIBCURL_VERSION_NUM >= 0x075500
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
#else
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS, static_cast<long>(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
  curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "palate");
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, kSilentSeconds);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, state.reason);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, State::on_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &state);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, State::on_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &state);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, State::on_time);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &state);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  if (const char* file = certificates()) curl_easy_setopt(curl, CURLOPT_CAINFO, file);
  const std::string range = std::to_string(request.from) + "-";
  if (request.from > 0) curl_easy_setopt(curl, CURLOPT_RANGE, range.c_str());
  // Headers of the request, not of a proxy on the way; sizes and hashes are of what is stored, so nothing may be packed on the way.
  curl_slist* headers = curl_slist_append(nullptr, "Accept-Encoding: identity");
  if (!request.token.empty()) headers = curl_slist_append(headers, ("Authorization: Bearer " + request.token).c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_HEADEROPT, static_cast<long>(CURLHEADER_SEPARATE));

  const CURLcode code = curl_easy_perform(curl);
  curl_slist_free_all(headers);
  if (state.thrown) std::rethrow_exception(state.thrown);
  check<IoError>(code != CURLE_ABORTED_BY_CALLBACK, "interrupted");
  const std::string reason = shown_url(request.url) + ": " + (state.reason[0] ? state.reason : curl_easy_strerror(code));
  if (may_pass(code)) throw BrokenConnection(reason);
  check<IoError>(
      code == CURLE_OK, reason,
      code == CURLE_PEER_FAILED_VERIFICATION ? ": is it the right server? A proxy's own certificate is named by SSL_CERT_FILE" : "");
  state.begin();
  return state.answer;
}

std::string origin_of(const std::string& url) {
  CURLU* parts = curl_url();
  std::string origin;
  char *scheme = nullptr, *host = nullptr, *port = nullptr;
  if (parts && curl_url_set(parts, CURLUPART_URL, url.c_str(), 0) == CURLUE_OK &&
      curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK && curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
      curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK) {
    origin = lowered(scheme) + "://" + lowered(host) + ":" + port;
  }
  curl_free(scheme);
  curl_free(host);
  curl_free(port);
  curl_url_cleanup(parts);
  return origin.starts_with("http://") || origin.starts_with("https://") ? origin : "";
}

std::string shown_url(const std::string& url) { return url.substr(0, url.find_first_of("?#")); }

}  // namespace palate
