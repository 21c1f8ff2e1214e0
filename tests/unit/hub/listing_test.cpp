#include "palate/hub/listing.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "palate/core/error.h"

using namespace palate;

namespace {

RepoListing listed(const std::string& entries) {
  RepoListing listing;
  add_tree_page(listing, Json::parse(entries), "page");
  check_paths(listing, "page");
  return listing;
}

std::string entry(const std::string& path, const std::string& more = "") {
  return "{\"type\":\"file\",\"size\":3,\"path\":" + Json(path).dump() + more + "}";
}

const std::string sha1(40, 'a'), lfs_hash(64, 'b');

}  // namespace

TEST_CASE("hub listing: names, sizes and hashes of small and large files; folders are passed over") {
  const auto listing =
      listed("[{\"type\":\"directory\",\"path\":\"unet\",\"oid\":\"x\",\"size\":0}," + entry("a.json", ",\"oid\":\"" + sha1 + "\"") + "," +
             entry("unet/b.safetensors",
                   ",\"oid\":\"" + sha1 + "\",\"lfs\":{\"oid\":\"" + lfs_hash + "\",\"size\":70,\"pointerSize\":134},\"xetHash\":\"c\"") +
             "]");
  REQUIRE(listing.files.size() == 2);
  CHECK(listing.files[0].path == "a.json");
  CHECK(listing.files[0].size == 3);
  CHECK(listing.files[0].etag == sha1);
  CHECK(listing.files[1].size == 70);
  CHECK(listing.files[1].etag == lfs_hash);
  CHECK(listed("[" + entry("a", ",\"lfs\":{\"oid\":\"sha256:" + lfs_hash + "\",\"size\":1}") + "]").files[0].etag == lfs_hash);
  CHECK(listed("[{\"type\":\"file\",\"path\":\"a\"}]").files[0].size == -1);
}

TEST_CASE("hub listing: what is no listing, or would lead elsewhere, is refused in a sentence") {
  for (const char* path : {"../x", "/etc/passwd", "a/../../b", "a\\..\\b", "a//b", "", ".", "a/.", "a\nb", "~/../.."}) {
    INFO(path);
    CHECK_THROWS_WITH_AS(listed("[" + entry(path) + "]"), doctest::Contains("is refused"), FormatError);
  }
  for (const char* page : {"{}", "3", "null", "[1]", "[[]]"}) CHECK_THROWS_AS(listed(page), FormatError);
  CHECK_THROWS_WITH_AS(listed("[" + entry("a", ",\"oid\":\"../../../x\"") + "]"), doctest::Contains("40 hexadecimal digits"), FormatError);
  CHECK_THROWS_WITH_AS(listed("[" + entry("a", ",\"oid\":\"" + sha1 + "\",\"lfs\":{\"oid\":\"" + sha1 + "\",\"size\":1}") + "]"),
                       doctest::Contains("64 hexadecimal digits"), FormatError);
  for (const char* size : {"-1", "1.5", "\"3\"", "18446744073709551615", "4611686018427387904"})
    CHECK_THROWS_WITH_AS(listed(std::string("[{\"type\":\"file\",\"path\":\"a\",\"size\":") + size + "}]"),
                         doctest::Contains("size in bytes"), FormatError);
  CHECK_THROWS_WITH_AS(listed("[" + entry("a") + "," + entry("a") + "]"), doctest::Contains("listed twice"), FormatError);
  CHECK_THROWS_WITH_AS(listed("[" + entry("a/b/c") + "," + entry("a/b") + "]"), doctest::Contains("as a file and as the folder"),
                       FormatError);
}
