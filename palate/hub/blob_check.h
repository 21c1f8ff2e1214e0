// Whether a blob's contents are what its name says: SHA-256 of the bytes (64 digits), or git's SHA-1 of "blob SIZE", a zero and the
// bytes (40 digits). Other names say nothing about the contents: only the size is known then.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "palate/core/hash.h"

namespace palate {

enum class EtagKind { sha256, git_sha1, opaque };
EtagKind etag_kind(const std::string& etag);

class BlobCheck {
 public:
  BlobCheck(std::string etag, int64_t size);
  void update(std::string_view bytes);
  void restart();
  // "" when they are what the name says, else "expected SHA-256 ..., found ...". Ends the hash.
  std::string fault();

 private:
  std::string etag_;
  int64_t size_;
  EtagKind kind_;
  std::unique_ptr<Hash> hash_;  // none for an opaque name
};

}  // namespace palate
