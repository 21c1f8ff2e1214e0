#include "palate/hub/blob_check.h"

#include "palate/core/error.h"

namespace palate {

EtagKind etag_kind(const std::string& etag) {
  if (etag.find_first_not_of("0123456789abcdef") != std::string::npos) return EtagKind::opaque;
  return etag.size() == 64 ? EtagKind::sha256 : etag.size() == 40 ? EtagKind::git_sha1 : EtagKind::opaque;
}

BlobCheck::BlobCheck(std::string etag, int64_t size) : etag_(std::move(etag)), size_(size), kind_(etag_kind(etag_)) { restart(); }

void BlobCheck::restart() {
  if (kind_ == EtagKind::opaque) return;
  const bool git = kind_ == EtagKind::git_sha1;
  hash_ = std::make_unique<Hash>(git ? HashKind::sha1 : HashKind::sha256);
  const std::string head = "blob " + std::to_string(size_);
  if (git) hash_->update({head.c_str(), head.size() + 1});
}

void BlobCheck::update(std::string_view bytes) {
  if (hash_) hash_->update(bytes);
}

std::string BlobCheck::fault() {
  if (!hash_) return "";
  const std::string found = hash_->hex();
  if (found == etag_) return "";
  return concat("expected ", kind_ == EtagKind::sha256 ? "SHA-256 " : "git's SHA-1 ", etag_, ", found ", found);
}

}  // namespace palate
