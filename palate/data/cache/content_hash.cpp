#include "palate/data/cache/content_hash.h"

#include <sys/stat.h>
#include <time.h>

#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/core/hash.h"
#include "palate/core/log.h"
#include "palate/io/json.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

class HashMemo {
 public:
  explicit HashMemo(fs::path file) : file_(std::move(file)) {
    try {
      if (fs::exists(file_)) memo_ = read_json(file_);
    } catch (const Error& error) {
      log_detail(concat("not used: ", error.what()));
    }
    if (!memo_.is_object()) memo_ = Json::object();
  }

  // "missing" for a file that cannot be read: the reader will name it.
  std::string hash(const fs::path& path) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return "missing";
    const std::string name = fs::absolute(path).lexically_normal().string();
    const std::string stamp = concat(info.st_size, ' ', info.st_ino, ' ', nanoseconds(info.st_mtim), ' ', nanoseconds(info.st_ctim));
    const auto found = memo_.find(name);
    if (found != memo_.end() && found->is_array() && found->size() == 2 && (*found)[0] == stamp && (*found)[1].is_string()) {
      return (*found)[1].get<std::string>();
    }
    const std::string hash = sha256_file(path);
    // A file changed a moment ago could change again within the same tick of the clock: such a stamp proves nothing.
    if (::time(nullptr) - info.st_ctim.tv_sec > 2) {
      memo_[name] = {stamp, hash};
      changed_ = true;
    }
    return hash;
  }

  void save() const {
    if (!changed_) return;
    try {
      write_json(file_, memo_);
    } catch (const std::exception& error) {  // a memo that cannot be kept costs time, nothing else
      log_detail(concat("hashes are not remembered: ", error.what()));
    }
  }

 private:
  static int64_t nanoseconds(const timespec& time) { return int64_t{time.tv_sec} * 1000000000 + time.tv_nsec; }

  fs::path file_;
  Json memo_;
  bool changed_ = false;
};

}  // namespace

std::string content_hash(const PairSource& source, const fs::path& memo_file) {
  HashMemo memo(memo_file);
  Sha256 all;
  all.update(source.content([&](const fs::path& path) { return memo.hash(path); }));
  memo.save();
  return all.hex();
}

}  // namespace palate
