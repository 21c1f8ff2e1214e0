#include "palate/hub/blob_check.h"

#include <openssl/evp.h>

#include "palate/core/error.h"

namespace palate {

EtagKind etag_kind(const std::string& etag) {
  if (etag.find_first_not_of("0123456789abcdef") != std::string::npos) return EtagKind::opaque;
  return etag.size() == 64 ? EtagKind::sha256 : etag.size() == 40 ? EtagKind::git_sha1 : EtagKind::opaque;
}

struct BlobCheck::State {
  std::string etag;
  int64_t size;
  EtagKind kind;
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

BlobCheck::BlobCheck(std::string etag, int64_t size) : state_(std::make_unique<State>()) {
  state_->kind = etag_kind(etag);
  state_->etag = std::move(etag);
  state_->size = size;
  restart();
}

BlobCheck::~BlobCheck() = default;

void BlobCheck::restart() {
  if (state_->kind == EtagKind::opaque) return;
  const bool git = state_->kind == EtagKind::git_sha1;
  EVP_DigestInit_ex(state_->context, git ? EVP_sha1() : EVP_sha256(), nullptr);
  const std::string head = "blob " + std::to_string(state_->size);
  if (git) EVP_DigestUpdate(state_->context, head.c_str(), head.size() + 1);
}

void BlobCheck::update(std::string_view bytes) {
  if (state_->kind != EtagKind::opaque) EVP_DigestUpdate(state_->context, bytes.data(), bytes.size());
}

std::string BlobCheck::fault() {
  if (state_->kind == EtagKind::opaque) return "";
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_DigestFinal_ex(state_->context, digest, &size);
  static const char* digits = "0123456789abcdef";
  std::string found;
  for (unsigned int i = 0; i < size; ++i) found += {digits[digest[i] >> 4], digits[digest[i] & 15]};
  if (found == state_->etag) return "";
  return concat("expected ", state_->kind == EtagKind::sha256 ? "SHA-256 " : "git's SHA-1 ", state_->etag, ", found ", found);
}

}  // namespace palate
