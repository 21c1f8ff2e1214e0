// `palate pull` as a program: what it prints, signals, two at once, proxies.
#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "palate/io/json.h"
#include "tests/e2e/hub/hub_case.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

// A file that has grown to `size`; false after ten seconds.
bool wait_for_size(const fs::path& path, uintmax_t size) {
  for (int i = 0; i < 1000; ++i) {
    std::error_code missing;
    if (fs::file_size(path, missing) >= size && !missing) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

int64_t listings(const HubCase& test) {
  const auto seen = test.hub.hub().received();
  return std::count_if(seen.begin(), seen.end(),
                       [](const ServerRequest& request) { return request.target.find("/tree/") != std::string::npos; });
}

}  // namespace

TEST_CASE("palate pull: prints the snapshot's folder, and nothing else") {
  HubCase test("program_plain");
  const auto result = run_program({"pull", "tiny/model"}, test.environment());
  INFO(result.err);
  CHECK(result.status == 0);
  CHECK(result.out == (test.folder() / "snapshots" / test.hub.commit).string() + "\n");
  test.expect_whole({"config.json", "model.safetensors", "notes/a b.txt", "notes/copy.json"});
  const auto json =
      run_program({"pull", "tiny/model@" + test.hub.commit, "--json", "--include", "*.json", "--jobs", "1"}, test.environment());
  const Json line = parse_json(json.out, "stdout");
  CHECK(line["commit"] == test.hub.commit);
  CHECK(line["files"] == 2);
  CHECK(line["fetched"] == 0.0);
}

TEST_CASE("palate pull: the token comes from HF_TOKEN or the file of a login") {
  HubCase test("program_token");
  test.hub.token = "hf_secret";
  const auto without = run_program({"pull", "tiny/model"}, test.environment());
  CHECK(without.status == 1);
  CHECK(without.err.find("HF_TOKEN") != std::string::npos);
  CHECK(run_program({"pull", "tiny/model"}, test.environment("hf_secret")).status == 0);
  fs::remove_all(test.cache);
  write_text(test.cache.parent_path() / "home/token", "hf_secret\n");
  CHECK(run_program({"pull", "tiny/model"}, test.environment()).status == 0);
}

TEST_CASE("palate pull: wrong use is exit status 2") {
  HubCase test("program_usage");
  for (const std::vector<std::string>& words : {std::vector<std::string>{"pull"},
                                                {"pull", "../x"},
                                                {"pull", "a/b/c"},
                                                {"pull", "a/b@"},
                                                {"pull", "a/b@x", "--revision", "y"},
                                                {"pull", "a/b", "--repo-type", "space"},
                                                {"pull", "a/b", "--jobs", "0"},
                                                {"pull", "a/b", "--includes", "x"}}) {
    const auto result = run_program(words, test.environment());
    INFO(result.err);
    CHECK(result.status == 2);
    CHECK(result.err.starts_with("palate: "));
  }
  CHECK(test.hub.hub().received().empty());
}

TEST_CASE("palate pull: Ctrl-C and kill -9 leave a partial file that the next pull goes on with") {
  for (const int number : {SIGINT, SIGKILL}) {
    HubCase test("program_stopped");
    std::atomic<Running*> program{nullptr};
    std::atomic<bool> reached{false};
    test.hub.at_half["model.safetensors"] = [&] {
      reached = wait_for_size(test.incomplete("model.safetensors"), 150000);
      program.load()->signal(number);
    };
    Running running({"pull", "tiny/model"}, test.environment());
    program = &running;
    const auto result = running.wait();
    INFO(result.err);
    CHECK(reached);
    CHECK(result.status == (number == SIGKILL ? 128 + SIGKILL : 1));
    if (number == SIGINT) CHECK(result.err.find("the same command goes on from there") != std::string::npos);
    CHECK(fs::file_size(test.incomplete("model.safetensors")) == 150000);
    CHECK_FALSE(fs::exists(test.folder() / "refs"));
    CHECK(run_program({"pull", "tiny/model"}, test.environment()).status == 0);
    test.expect_whole({"config.json", "model.safetensors"});
    const auto fetched = test.hub.fetched();
    CHECK(std::count(fetched.begin(), fetched.end(), "GET model.safetensors 0") == 1);
    CHECK(std::count(fetched.begin(), fetched.end(), "GET model.safetensors 150000") >= 1);
  }
}

TEST_CASE("palate pull: two at once fetch each file once") {
  HubCase test("program_two");
  std::unique_ptr<Running> second;
  test.hub.at_half["model.safetensors"] = [&] {  // the first holds the lock and is in the middle
    second = std::make_unique<Running>(std::vector<std::string>{"pull", "tiny/model"}, test.environment());
    for (int i = 0; i < 1000 && listings(test) < 2; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  };
  const auto first = run_program({"pull", "tiny/model"}, test.environment());
  REQUIRE(second);
  const auto other = second->wait();
  INFO(first.err, other.err);
  CHECK(first.status == 0);
  CHECK(other.status == 0);
  test.expect_whole({"config.json", "model.safetensors"});
  CHECK(first.out == other.out);
  int whole = 0;
  for (const auto& line : test.hub.fetched()) whole += line == "GET model.safetensors 0";
  CHECK(whole == 1);
}

TEST_CASE("palate pull: HTTPS_PROXY is asked for the way, and never sees the token") {
  HubCase test("program_proxy");
  const HttpServer proxy([](const ServerRequest&) { return ServerAnswer{.status = 403, .headers = {}, .body = "no"}; });
  auto environment = test.environment("hf_secret");
  for (const char* line : {"HF_ENDPOINT=https://hub.example", "no_proxy=", "NO_PROXY="}) environment.push_back(line);
  environment.push_back("HTTPS_PROXY=" + proxy.url());
  const auto result = run_program({"pull", "tiny/model"}, environment);
  INFO(result.err);
  CHECK(result.status == 1);
  CHECK(result.err.find("hub.example") != std::string::npos);
  REQUIRE_FALSE(proxy.received().empty());
  for (const auto& request : proxy.received()) {
    CHECK(request.method == "CONNECT");
    CHECK(request.target == "hub.example:443");
    for (const auto& [name, value] : request.headers) CHECK_MESSAGE(value.find("hf_secret") == std::string::npos, name);
  }
}
