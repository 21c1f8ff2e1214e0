#include <doctest/doctest.h>

#include "palate/core/error.h"
#include "palate/hub/blob_check.h"
#include "palate/hub/http.h"
#include "palate/hub/listing.h"
#include "palate/hub/repo.h"

using namespace palate;

TEST_CASE("hub names: what a repository may be called is the hub's own rule") {
  for (const char* name : {"gpt2", "stabilityai/stable-diffusion-xl-base-1.0", "a/b", "CompVis/stable_diffusion.v1-4"})
    CHECK_MESSAGE(is_repo_name(name), name);
  for (const char* name : {"",     "/",    "a/",      "/a",    "a/b/c", "../a",  "a/..",         "a/b..c",   "a--b/c", "a/.b",      "a/b.",
                           "-a/b", "a/b-", "a/b.git", "a b/c", "a\\b",  "a/b\n", "datasets/a/b", "a/b@main", "a/b:c",  "a/\xc3\xa9"})
    CHECK_FALSE_MESSAGE(is_repo_name(name), name);
  CHECK(is_repo_name("a/" + std::string(94, 'b')));
  CHECK_FALSE(is_repo_name("a/" + std::string(95, 'b')));
}

TEST_CASE("hub names: ORG/NAME@REVISION stands for a model, one word does not") {
  CHECK(names_repo("org/name"));
  CHECK(names_repo("org/name@refs/pr/1"));
  for (const char* text : {"name", "org/name@", "org/name@../x", "./name", "/org/name", "org/name/unet", "C:/x y"})
    CHECK_FALSE_MESSAGE(names_repo(text), text);
  const RepoAt at = parse_repo("org/name@v1.0");
  CHECK(at.repo.name == "org/name");
  CHECK(at.revision == "v1.0");
  CHECK(parse_repo("org/name").revision == "main");
  CHECK(parse_repo("gpt2").repo.cache_folder() == "models--gpt2");
  CHECK(parse_repo("org/name", RepoType::dataset).repo.cache_folder() == "datasets--org--name");
  CHECK_THROWS_WITH_AS(parse_repo("org name"), doctest::Contains("ORG/NAME"), UsageError);
  CHECK_THROWS_WITH_AS(parse_repo("org/name@a/../../b"), doctest::Contains("leads out of its folder"), UsageError);
}

TEST_CASE("hub names: files and revisions that could lead out of their folder are refused") {
  for (const char* path : {"model_index.json", "unet/config.json", "a b/c.json", ".gitattributes", "a/...b", "\xc3\xa9/x"})
    CHECK_MESSAGE(path_fault(path).empty(), path);
  for (const char* path : {"", "/etc/passwd", "..", "../x", "a/../b", "a/..", "a//b", "a/", "./a", "a/.", "a\\b", "..\\x", "a\nb", "a\x7f"})
    CHECK_FALSE_MESSAGE(path_fault(path).empty(), path);
  CHECK_FALSE(path_fault(std::string_view("a\0b", 3)).empty());
  CHECK_FALSE(path_fault(std::string(256, 'a')).empty());
  CHECK_FALSE(path_fault(std::string(600, 'a') + "/" + std::string(600, 'b')).empty());
}

TEST_CASE("hub names: addresses are quoted, and two of the same server are told from two of others") {
  CHECK(url_quoted("refs/pr/1", false) == "refs%2Fpr%2F1");
  CHECK(url_quoted("a b/\xc3\xa9#?%.json", true) == "a%20b/%C3%A9%23%3F%25.json");
  CHECK(file_url({"https://h", ""}, {RepoType::dataset, "o/n"}, "c", "x y") == "https://h/datasets/o/n/resolve/c/x%20y");
  CHECK(origin_of("https://huggingface.co/a") == "https://huggingface.co:443");
  CHECK(origin_of("HTTPS://HuggingFace.co:443/b?c") == origin_of("https://huggingface.co"));
  CHECK(origin_of("https://user@huggingface.co/x") == "https://huggingface.co:443");
  CHECK(origin_of("https://huggingface.co@evil.example/x") == "https://evil.example:443");
  CHECK(origin_of("https://huggingface.co.evil.example") != origin_of("https://huggingface.co"));
  CHECK(origin_of("http://huggingface.co") != origin_of("https://huggingface.co"));
  for (const char* url : {"file:///etc/passwd", "ftp://a/b", "gopher://a", "", "//a/b"}) CHECK_MESSAGE(origin_of(url).empty(), url);
  CHECK(shown_url("https://a/b?X-Signature=secret#f") == "https://a/b");
}

TEST_CASE("hub names: an ETag names the blob, without W/ and quotes, and never a path") {
  CHECK(plain_etag("\"abc\"", "x") == "abc");
  CHECK(plain_etag("W/\"abc\"", "x") == "abc");
  CHECK(plain_etag("abc", "x") == "abc");
  for (const char* etag : {"", "\"\"", "\"../../x\"", "\"a/b\"", "\".x\"", "\"a b\"", "\"a\"b\""})
    CHECK_THROWS_AS(plain_etag(etag, "x"), FormatError);
  CHECK_THROWS_AS(plain_etag(std::string(129, 'a'), "x"), FormatError);
}

TEST_CASE("hub names: an ETag of 64 digits is the contents' SHA-256, of 40 digits git's SHA-1, any other says nothing") {
  CHECK(etag_kind(std::string(64, 'a')) == EtagKind::sha256);
  CHECK(etag_kind(std::string(40, '0')) == EtagKind::git_sha1);
  CHECK(etag_kind(std::string(40, 'A')) == EtagKind::opaque);
  CHECK(etag_kind("abc-1") == EtagKind::opaque);
  const auto fault = [](const std::string& etag, const std::string& bytes) {
    BlobCheck check(etag, static_cast<int64_t>(bytes.size()));
    check.update("thrown away");
    check.restart();
    check.update(bytes.substr(0, 2));
    check.update(bytes.substr(2));
    return check.fault();
  };
  // printf hello | sha256sum; printf hello | git hash-object --stdin
  CHECK(fault("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", "hello").empty());
  CHECK(fault("b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0", "hello").empty());
  CHECK(fault("b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0", "hellp").find("expected git's SHA-1 b6fc") == 0);
  CHECK(fault("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", "hello!").find("expected SHA-256 2cf2") == 0);
  CHECK(fault("opaque", "anything").empty());
}
