#include "palate/objective/reference/error_file.h"

#include <fcntl.h>
#include <torch/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "palate/core/error.h"
#include "palate/core/log.h"
#include "palate/core/progress.h"
#include "palate/io/file_lock.h"
#include "palate/io/safetensors.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

class OpenFile {
 public:
  explicit OpenFile(const fs::path& path) : path_(path), handle_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
    if (handle_ < 0) failed("cannot be opened for writing");
  }
  ~OpenFile() { ::close(handle_); }
  OpenFile(const OpenFile&) = delete;

  void read(void* data, size_t bytes, size_t offset) {
    if (::pread(handle_, data, bytes, static_cast<off_t>(offset)) != static_cast<ssize_t>(bytes)) failed("cannot be read");
  }
  void write(const void* data, size_t bytes, size_t offset) {
    if (::pwrite(handle_, data, bytes, static_cast<off_t>(offset)) != static_cast<ssize_t>(bytes)) failed("cannot be written");
  }
  size_t size() { return static_cast<size_t>(::lseek(handle_, 0, SEEK_END)); }
  void resize(size_t bytes) {
    if (::ftruncate(handle_, static_cast<off_t>(bytes)) != 0) failed("cannot be resized");
  }

 private:
  [[noreturn]] void failed(const char* what) const { fail<IoError>(path_.string(), ": ", what, ": ", std::strerror(errno)); }
  fs::path path_;
  int handle_;
};

// Errors are mean squares of real differences: positive. What is not, a hole of the file or what a power cut left, is
// computed again.
bool there(const float* pair) { return pair[0] > 0 && pair[1] > 0 && pair[0] < 1e30f && pair[1] < 1e30f; }

}  // namespace

Tensor open_error_file(const fs::path& folder, int64_t rows, int64_t draws, int64_t batch, const FillErrors& fill) {
  fs::create_directories(folder);
  const fs::path whole = folder / "errors.safetensors", partial = folder / "errors.partial";
  std::optional<FileLock> lock;
  if (!fs::exists(whole)) {
    bool told = false;
    lock.emplace(folder / "lock", [&] {
      if (!told) log_info("another run is computing the reference errors in ", folder.string(), ": waiting for it");
      told = true;
    });
  }
  if (!fs::exists(whole)) {
    const Tensor errors = torch::zeros({draws, rows, 2}, torch::kFloat32);  // draw by draw, so that a batch is one stretch
    auto* data = errors.data_ptr<float>();
    const size_t bytes = static_cast<size_t>(errors.numel()) * sizeof(float);
    OpenFile journal(partial);
    if (journal.size() != bytes) journal.resize(0);
    journal.resize(bytes);
    journal.read(data, bytes, 0);
    int64_t done = 0;
    for (int64_t i = 0; i < rows * draws; ++i) done += there(data + 2 * i) ? 1 : 0;
    Progress progress("reference errors", rows * draws, done);
    for (int64_t draw = 0; draw < draws; ++draw) {
      for (int64_t first = 0; first < rows; first += batch) {
        const int64_t count = std::min(batch, rows - first);
        float* stretch = data + 2 * (draw * rows + first);
        int64_t missing = 0;
        for (int64_t i = 0; i < count; ++i) missing += there(stretch + 2 * i) ? 0 : 1;
        if (missing == 0) continue;
        const auto [win, lose] = fill(first, count, draw);
        errors[draw].slice(0, first, first + count).copy_(at::stack({win, lose}, 1));
        journal.write(stretch, static_cast<size_t>(2 * count) * sizeof(float), static_cast<size_t>(stretch - data) * sizeof(float));
        progress.advance(missing);
      }
    }
    progress.finish();
    save_safetensors(whole, {{"errors", errors.transpose(0, 1).contiguous()}}, {{"format", "pt"}});
    fs::remove(partial);
  }
  const Tensor errors = SafetensorsFile(whole).tensor("errors");
  check<FormatError>(errors.dim() == 3 && errors.size(0) == rows && errors.size(1) == draws && errors.size(2) == 2 &&
                         errors.scalar_type() == torch::kFloat32,
                     whole.string(), ": expected float32 errors of shape [", rows, ", ", draws, ", 2], found ", show_shape(errors.sizes()),
                     ": delete the folder to have them computed again");
  return errors;
}

}  // namespace palate
