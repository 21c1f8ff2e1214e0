// Connections that break, servers that lie, disks that are full: what is said, and what is left in the cache.
#include <doctest/doctest.h>
#include <sys/resource.h>

#include <algorithm>

#include "palate/core/error.h"
#include "tests/e2e/hub/hub_case.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

using Lines = std::vector<std::string>;

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("hub faults: a connection that breaks in the middle is made again, and goes on where it broke") {
  HubCase test("hub_broken");
  test.options.choose.include = {"*.safetensors"};
  test.hub.breaks["model.safetensors"] = {100000, 50000, 0};
  test.pull();
  test.expect_whole({"model.safetensors"});
  CHECK(test.hub.fetched() ==
        Lines{"GET model.safetensors 0", "GET model.safetensors 100000", "GET model.safetensors 150000", "GET model.safetensors 150000"});
}

TEST_CASE("hub faults: the same when no answer says how long it is") {
  HubCase test("hub_no_length");
  test.options.choose.include = {"*.safetensors"};
  test.hub.lengths = false;
  test.hub.breaks["model.safetensors"] = {100000};
  test.pull();
  test.expect_whole({"model.safetensors"});
  CHECK(test.hub.fetched() == Lines{"GET model.safetensors 0", "GET model.safetensors 100000"});
}

TEST_CASE("hub faults: a server that takes no ranges is heard from the start again") {
  HubCase test("hub_no_ranges");
  test.options.choose.include = {"*.safetensors"};
  test.hub.ranges = false;
  test.hub.breaks["model.safetensors"] = {100000};
  const Pulled done = test.pull();
  CHECK(done.fetched == 400000);
  test.expect_whole({"model.safetensors"});
}

TEST_CASE("hub faults: a connection that breaks each time is given up after six times without progress, and what came is kept") {
  HubCase test("hub_given_up");
  test.options.choose.include = {"*.safetensors"};
  test.hub.breaks["model.safetensors"] = {100000, 0, 0, 0, 0, 0, 0, 0};
  const std::string error = test.refused();
  INFO(error);
  CHECK(has(error, "6 times in a row"));
  CHECK(fs::file_size(test.incomplete("model.safetensors")) == 100000);
  CHECK(test.entries() ==
        Lines{"models--tiny--model/blobs/" + test.incomplete("model.safetensors").filename().string()});  // no snapshot, no ref
  test.hub.breaks.clear();
  CHECK(test.pull().fetched == 200000);
  test.expect_whole({"model.safetensors"});
}

TEST_CASE("hub faults: a server that takes no ranges and breaks at the same place each time does not go on for ever") {
  HubCase test("hub_no_end");
  test.options.choose.include = {"*.safetensors"};
  test.hub.ranges = false;
  test.hub.breaks["model.safetensors"] = std::vector<int64_t>(50, 1000);
  CHECK(has(test.refused(), "6 times in a row"));
  CHECK(test.hub.fetched().size() <= 8);
}

TEST_CASE("hub faults: a server that is busy is asked again") {
  HubCase test("hub_busy");
  test.options.choose.include = {"config.json"};
  test.hub.busy["config.json"] = 2;
  test.pull();
  test.expect_whole({"config.json"});
  CHECK(test.hub.fetched().size() == 3);
}

TEST_CASE("hub faults: contents that are not what the listing promised are refused, and nothing of them stays") {
  for (const char* path : {"model.safetensors", "config.json"}) {
    HubCase test("hub_checksum");
    test.options.choose.include = {path};
    test.hub.sent_instead[path] = std::string(test.hub.files[path].size(), 'x');
    const std::string error = test.refused();
    INFO(error);
    CHECK(has(error, path == std::string("config.json") ? "expected git's SHA-1 " : "expected SHA-256 "));
    CHECK(has(error, test.hub.blob_name(path)));
    CHECK(has(error, "nothing of it was kept"));
    CHECK(test.entries().empty());
  }
}

TEST_CASE("hub faults: more or fewer bytes than the listing says are refused") {
  HubCase test("hub_length");
  test.options.choose.include = {"config.json"};
  test.hub.sent_instead["config.json"] = "{\"a\": 1}\n and more";
  CHECK(has(test.refused(), "config.json: expected 9 bytes as the listing says, found 18"));
  test.hub.lengths = false;
  CHECK(has(test.refused(), "config.json: expected 9 bytes as the listing says, found more"));
  CHECK_FALSE(fs::exists(test.blob("config.json")));
}

TEST_CASE("hub faults: what the hub refuses is said with what to do about it") {
  HubCase test("hub_refused");
  test.hub.token = "hf_secret";
  std::string error = test.refused();
  INFO(error);
  CHECK(has(error, "knows no such model, or it is private"));
  CHECK(has(error, "set HF_TOKEN"));
  error = test.refused("hf_wrong");
  CHECK(has(error, "whether the token that HF_TOKEN gives may read it"));
  CHECK_FALSE(has(error, "hf_wrong"));
  test.hub.gated = true;
  error = test.refused("hf_secret");
  CHECK(has(error, "accept them at " + test.hub.hub().url() + "/tiny/model with the account that HF_TOKEN belongs to"));
  test.options.at.revision = "v9";
  CHECK(has(test.refused("hf_secret"), "knows no revision 'v9'"));
  test.options.at = parse_repo("tiny/other");
  CHECK(has(test.refused("hf_secret"), "tiny/other"));
  CHECK(test.entries().empty());
}

TEST_CASE("hub faults: an endpoint that cannot be reached, or that is no hub, is named") {
  HubCase test("hub_no_server");
  std::string address;
  {
    const HttpServer gone([](const ServerRequest&) { return ServerAnswer{}; });
    address = gone.url();
  }
  CHECK_THROWS_WITH_AS(pull(test.cache, {address, "", 1}, test.options), doctest::Contains(address.c_str()), IoError);
  HubCase fetched("hub_no_server_any_more");
  fetched.pull();
  CHECK_THROWS_WITH_AS(pull(fetched.cache, {address, "", 1}, fetched.options), doctest::Contains("with HF_HUB_OFFLINE=1 so does pull"),
                       IoError);
  const HttpServer page([](const ServerRequest&) { return ServerAnswer{.body = "<html>"}; });
  CHECK_THROWS_WITH_AS(pull(test.cache, {page.url(), "", 1}, test.options), doctest::Contains("is not JSON"), FormatError);
  const HttpServer other([](const ServerRequest&) { return ServerAnswer{.body = "{\"sha\": \"../../x\"}"}; });
  CHECK_THROWS_WITH_AS(pull(test.cache, {other.url(), "", 1}, test.options), doctest::Contains("expected the commit as 'sha'"),
                       FormatError);
  const HttpServer loop([](const ServerRequest& request) {
    return ServerAnswer{.status = 302, .headers = {{"Location", request.target}}, .body = ""};
  });
  CHECK_THROWS_WITH_AS(pull(test.cache, {loop.url(), "", 1}, test.options), doctest::Contains("redirected more than 10 times"), IoError);
  const HttpServer file([](const ServerRequest&) {
    return ServerAnswer{.status = 302, .headers = {{"Location", "file:///etc/passwd"}}, .body = ""};
  });
  CHECK_THROWS_WITH_AS(pull(test.cache, {file.url(), "", 1}, test.options), doctest::Contains("redirects to 'file:///etc/passwd'"),
                       IoError);
  CHECK(test.entries().empty());
}

TEST_CASE("hub faults: a listing with names that lead out is refused whole, and writes nothing") {
  for (const char* name : {"../../../escaped", "/tmp/escaped", "a\\\\..\\\\escaped", "a//b", "a/../../../../escaped", ""}) {
    HubCase test("hub_hostile");
    test.hub.entries = std::string("{\"type\":\"file\",\"path\":\"") + name + "\",\"size\":1,\"oid\":\"" + git_sha1("x") + "\"},";
    const std::string error = test.refused();
    INFO(error);
    CHECK(has(error, "is refused"));
    CHECK(test.entries().empty());
    CHECK_FALSE(fs::exists(test.cache.parent_path() / "escaped"));
  }
}

TEST_CASE("hub faults: too little room is said before the first byte is fetched, with how much is missing") {
  HubCase test("hub_room");
  test.hub.entries = "{\"type\":\"file\",\"path\":\"huge.safetensors\",\"size\":0,\"oid\":\"" + std::string(40, 'a') +
                     "\",\"lfs\":{\"oid\":\"" + std::string(64, 'b') + "\",\"size\":4000000000000000000}},";
  const std::string error = test.refused();
  INFO(error);
  CHECK(has(error, "needs 4 EB"));
  CHECK(has(error, " too few"));
  CHECK(has(error, "HF_HUB_CACHE"));
  CHECK(test.hub.fetched().empty());
}

TEST_CASE("hub faults: a disk that is full in the middle is an error that says what is missing, and what came is gone on with") {
  HubCase test("hub_full");
  test.options.choose.include = {"*.safetensors"};
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit tight{200000, before.rlim_max};  // no file may grow beyond it
  setrlimit(RLIMIT_FSIZE, &tight);
  const std::string error = test.refused();
  setrlimit(RLIMIT_FSIZE, &before);
  INFO(error);
  CHECK(has(error, "model.safetensors"));
  CHECK(has(error, "cannot be written"));
  CHECK(has(error, "100 kB of it are missing"));
  CHECK(fs::file_size(test.incomplete("model.safetensors")) == 200000);
  CHECK(test.pull().fetched == 100000);
  test.expect_whole({"model.safetensors"});
}
