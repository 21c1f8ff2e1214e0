// What a pull fetches and where it puts it, and who sees the token.
#include <doctest/doctest.h>

#include <algorithm>

#include "tests/e2e/hub/hub_case.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

const std::vector<std::string> all = {"config.json", "model.safetensors", "notes/a b.txt", "notes/copy.json"};

int64_t count_of(const std::vector<std::string>& lines, const std::string& line) { return std::count(lines.begin(), lines.end(), line); }

}  // namespace

TEST_CASE("hub pull: files become blobs, links and a ref; a second pull fetches nothing") {
  HubCase test("hub_plain");
  const Pulled done = test.pull();
  test.expect_whole(all);
  CHECK(done.snapshot == test.folder() / "snapshots" / test.hub.commit);
  CHECK(done.files == 4);
  CHECK(done.fetched == 300013);
  CHECK(test.hub.fetched().size() == 3);  // config.json and its copy are one blob
  CHECK(fs::exists(test.cache / "CACHEDIR.TAG"));
  CHECK(fs::exists(test.cache / ".locks/models--tiny--model" / (test.hub.blob_name("model.safetensors") + ".lock")));
  CHECK(test.pull().fetched == 0);
  CHECK(test.hub.fetched().size() == 3);
}

TEST_CASE("hub pull: a new commit fetches what changed, and the old snapshot stays") {
  HubCase test("hub_moved");
  test.options.choose.include = {"*.json", "*.safetensors"};
  test.pull();
  const auto before = test.hub.commit;
  test.hub.commit = std::string(40, 'd');
  test.hub.files["config.json"] = "{\"a\": 2}\n";
  CHECK(test.pull().fetched == 9);
  test.expect_whole({"config.json", "model.safetensors", "notes/copy.json"});
  CHECK(read_text(test.folder() / "snapshots" / before / "config.json") == "{\"a\": 1}\n");
}

TEST_CASE("hub pull: the listing's pages are all read, and what it does not say is asked of the files") {
  HubCase test("hub_pages");
  test.hub.files.clear();
  for (int i = 0; i < 25; ++i) test.hub.files["part-" + std::to_string(i) + ".json"] = "{\"i\": " + std::to_string(i) + "}";
  test.hub.files["big.safetensors"] = random_bytes(1000, 2);
  test.hub.page = 4;
  CHECK(test.pull().files == 26);
  fs::remove_all(test.cache);
  test.hub.oids = false;
  CHECK(test.pull().files == 26);
  test.expect_whole({"part-0.json", "part-24.json", "big.safetensors"});
}

TEST_CASE("hub pull: the token goes to the endpoint with every request, and to no other server") {
  HubCase test("hub_token");
  test.options.choose.include = {"*.json", "*.safetensors"};
  test.hub.token = "hf_secret";
  for (const bool oids : {true, false}) {  // without them: HEAD requests, which redirect too
    test.hub.oids = oids;
    fs::remove_all(test.cache);
    test.pull("hf_secret");
  }
  test.expect_whole({"config.json", "model.safetensors"});
  const auto seen = test.hub.hub().received(), elsewhere = test.hub.storage().received();
  CHECK(seen.size() >= 8);
  for (const auto& request : seen) CHECK_MESSAGE(request.header("authorization") == "Bearer hf_secret", request.target);
  REQUIRE(elsewhere.size() == 2);
  for (const auto& request : elsewhere) {
    INFO(request.target);
    CHECK(request.header("host").starts_with("localhost:"));
    for (const auto& [name, value] : request.headers) CHECK_MESSAGE(value.find("hf_secret") == std::string::npos, name);
  }
}

TEST_CASE("hub pull: another port of the same machine is another server, and a page of the listing there sees no token") {
  HubCase test("hub_next");
  const HttpServer other([](const ServerRequest&) { return ServerAnswer{.body = "[]"}; });
  const HttpServer first([&](const ServerRequest& request) {
    if (request.target.find("/revision/") != std::string::npos) return ServerAnswer{.body = "{\"sha\":\"" + std::string(40, 'a') + "\"}"};
    if (request.target.find("/resolve/") != std::string::npos) return ServerAnswer{.body = "abc"};
    return ServerAnswer{.headers = {{"Link", "<" + other.url() + "/more>; rel=\"next\""}},
                        .body = "[{\"type\":\"file\",\"path\":\"x.json\",\"size\":3,\"oid\":\"" + git_sha1("abc") + "\"}]"};
  });
  pull(test.cache, {first.url(), "hf_secret", 1}, test.options);
  REQUIRE(other.received().size() == 1);
  CHECK(other.received()[0].header("authorization").empty());
  CHECK(first.received().size() == 3);
  for (const auto& request : first.received()) CHECK(request.header("authorization") == "Bearer hf_secret");
}

TEST_CASE("hub pull: a data set lies in its own folder, and globs say what is fetched") {
  HubCase test("hub_data_set");
  test.hub.kind = "datasets";
  test.hub.files = {{"data/train-0.parquet", random_bytes(100, 3)},
                    {"data/train-1.parquet", random_bytes(100, 4)},
                    {"data/test-0.parquet", random_bytes(100, 5)}};
  test.options.at.repo.type = RepoType::dataset;
  test.options.choose.include = {"data/test-*"};
  const Pulled done = test.pull();
  CHECK(done.files == 1);
  CHECK(done.snapshot == test.cache / "datasets--tiny--model/snapshots" / test.hub.commit);
  CHECK(read_text(done.snapshot / "data/test-0.parquet") == test.hub.files["data/test-0.parquet"]);
  CHECK(count_of(test.hub.fetched(), "GET data/train-0.parquet 0") == 0);
}

TEST_CASE("hub pull: of a pipeline, what model_index.json names") {
  HubCase test("hub_pipeline");
  const std::string index = "{\"_class_name\": \"X\", \"unet\": [\"diffusers\", \"U\"], \"safety_checker\": [null, null]}";
  test.hub.files = {{"model_index.json", index},
                    {"unet/config.json", "{}"},
                    {"unet/diffusion_pytorch_model.safetensors", "abc"},
                    {"unet/diffusion_pytorch_model.fp16.safetensors", "half"},
                    {"other.safetensors", "xyz"},
                    {"vae/config.json", "{1}"},
                    {"README.md", "#"}};
  const Pulled done = test.pull();
  CHECK(done.files == 3);
  CHECK(done.fetched == static_cast<double>(index.size() + 2 + 3));
  test.expect_whole({"model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors"});
  test.options.choose.variant = "fp16";
  CHECK(test.pull().fetched == 4);
  test.options.choose.variant = "fp8";
  CHECK(test.refused() == "tiny/model: --variant fp8: no weights have this variant, found: fp16 or none");
}

TEST_CASE("hub pull: a blob of another length than the listing's is fetched again") {
  HubCase test("hub_damaged");
  test.options.choose.include = {"*.safetensors"};
  test.pull();
  fs::resize_file(test.blob("model.safetensors"), 1000);
  CHECK(test.pull().fetched == 300000);
  test.expect_whole({"model.safetensors"});
}

TEST_CASE("hub pull: what an earlier attempt left is gone on with, and thrown away when it turns out to be something else") {
  HubCase test("hub_resumed");
  test.options.choose.include = {"*.safetensors"};
  const std::string bytes = test.hub.files["model.safetensors"];
  write_text(test.incomplete("model.safetensors"), bytes.substr(0, 100000));
  CHECK(test.pull().fetched == 200000);
  test.expect_whole({"model.safetensors"});
  CHECK(test.hub.fetched() == std::vector<std::string>{"GET model.safetensors 100000"});

  fs::remove(test.blob("model.safetensors"));
  write_text(test.incomplete("model.safetensors"), "x" + bytes.substr(1, 99999));  // one byte is wrong
  CHECK(test.pull().fetched == 200000 + 300000);
  test.expect_whole({"model.safetensors"});

  fs::remove(test.blob("model.safetensors"));
  write_text(test.incomplete("model.safetensors"), bytes + "more");
  CHECK(test.pull().fetched == 300000);
  test.expect_whole({"model.safetensors"});

  fs::remove(test.blob("model.safetensors"));
  write_text(test.incomplete("model.safetensors"), bytes);  // all of it: only its name was missing
  CHECK(test.pull().fetched == 0);
  test.expect_whole({"model.safetensors"});
}
