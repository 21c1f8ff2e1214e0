#include <doctest/doctest.h>

#include "palate/core/error.h"
#include "palate/core/hash.h"
#include "tests/support/paths.h"

using namespace palate;

TEST_CASE("hash: SHA-256 of FIPS 180-2's examples") {
  CHECK(sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST_CASE("hash: MD5 of RFC 1321's examples") {
  CHECK(Hash(HashKind::md5).update("abc").hex() == "900150983cd24fb0d6963f7d28e17f72");
  CHECK(Hash(HashKind::md5).hex() == "d41d8cd98f00b204e9800998ecf8427e");
}

TEST_CASE("hash: a file hashes as its bytes, and a missing file is named") {
  const auto folder = test::fresh_folder("hash");
  test::write_text(folder / "a", "abc");
  CHECK(sha256_file(folder / "a") == sha256("abc"));
  CHECK_THROWS_AS(sha256_file(folder / "missing"), IoError);
}
