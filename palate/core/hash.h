// SHA-256 of bytes and files, as 64 hexadecimal digits; SHA-1 for git's names of contents; MD5 for splits that were made by it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace palate {

enum class HashKind { sha256, sha1, md5 };

class Hash {
 public:
  explicit Hash(HashKind kind);
  ~Hash();
  Hash& update(std::string_view bytes);
  std::string hex();  // ends the hash

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class Sha256 : public Hash {
 public:
  Sha256() : Hash(HashKind::sha256) {}
};

std::string sha256(std::string_view bytes);
std::string sha256_file(const std::filesystem::path& path);  // IoError when it cannot be read

}  // namespace palate
