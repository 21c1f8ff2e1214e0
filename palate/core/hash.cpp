#include "palate/core/hash.h"

#include <openssl/evp.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <vector>

#include "palate/core/error.h"

namespace palate {

struct Hash::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Hash::Hash(HashKind kind) : state_(std::make_unique<State>()) {
  const EVP_MD* digest = kind == HashKind::md5 ? EVP_md5() : kind == HashKind::sha1 ? EVP_sha1() : EVP_sha256();
  check(EVP_DigestInit_ex(state_->context, digest, nullptr) == 1, "this libcrypto does not offer MD5, SHA-1 and SHA-256 all three");
}
Hash::~Hash() = default;

Hash& Hash::update(std::string_view bytes) {
  EVP_DigestUpdate(state_->context, bytes.data(), bytes.size());
  return *this;
}

std::string Hash::hex() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_DigestFinal_ex(state_->context, digest, &size);
  static const char* digits = "0123456789abcdef";
  std::string text;
  for (unsigned int i = 0; i < size; ++i) {
    text += digits[digest[i] >> 4];
    text += digits[digest[i] & 15];
  }
  return text;
}

std::string sha256(std::string_view bytes) { return Sha256().update(bytes).hex(); }

std::string sha256_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  check<IoError>(file.good(), path.string(), ": cannot be read: ", std::strerror(errno));
  Sha256 hash;
  std::vector<char> buffer(1 << 20);
  while (file.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || file.gcount() > 0) {
    hash.update({buffer.data(), static_cast<size_t>(file.gcount())});
  }
  return hash.hex();
}

}  // namespace palate
