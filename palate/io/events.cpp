#include "palate/io/events.h"

#include <fcntl.h>
#include <torch/types.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>

#include "palate/core/error.h"
#include "palate/io/image.h"

namespace palate {
namespace {

// CRC-32C (Castagnoli), then the mask of TensorFlow's record files.
uint32_t masked_crc(std::string_view bytes) {
  static const auto table = [] {
    std::array<uint32_t, 256> t{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t c = i;
      for (int k = 0; k < 8; ++k) c = c & 1 ? (c >> 1) ^ 0x82F63B78u : c >> 1;
      t[i] = c;
    }
    return t;
  }();
  uint32_t crc = 0xFFFFFFFFu;
  for (const char byte : bytes) crc = table[(crc ^ static_cast<uint8_t>(byte)) & 255] ^ (crc >> 8);
  crc = ~crc;
  return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u;
}

// Protocol buffers' wire format, as far as events need it.
std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 128; value >>= 7) out += static_cast<char>(value | 128);
  return out + static_cast<char>(value);
}
std::string integer_field(int number, int64_t value) {
  return varint(static_cast<uint64_t>(number) << 3) + varint(static_cast<uint64_t>(value));
}
std::string bytes_field(int number, std::string_view value) {
  return varint(static_cast<uint64_t>(number) << 3 | 2) + varint(value.size()) + std::string(value);
}
template <class T>
std::string fixed(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
std::string double_field(int number, double value) { return varint(static_cast<uint64_t>(number) << 3 | 1) + fixed(value); }
std::string float_field(int number, float value) { return varint(static_cast<uint64_t>(number) << 3 | 5) + fixed(value); }

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

// Event: wall_time = 1, step = 2 (left out when 0), file_version = 3, summary = 5.
std::string summary_event(std::string_view tag, const std::string& value, int64_t step) {
  std::string event = double_field(1, now());
  if (step != 0) event += integer_field(2, step);
  return event + bytes_field(5, bytes_field(1, bytes_field(1, tag) + value));
}

}  // namespace

EventWriter::EventWriter(const std::filesystem::path& folder) {
  char host[256] = "host";
  gethostname(host, sizeof host - 1);
  path_ = folder / concat("events.out.tfevents.", std::time(nullptr), ".", host, ".", getpid());
  file_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_APPEND, 0644);
  check<IoError>(file_ >= 0, path_.string(), ": cannot be opened for writing: ", std::strerror(errno));
  record(double_field(1, now()) + bytes_field(3, "brain.Event:2"));
}

EventWriter::~EventWriter() {
  if (file_ >= 0) close(file_);
}

void EventWriter::scalar(std::string_view tag, double value, int64_t step) {
  record(summary_event(tag, float_field(2, static_cast<float>(value)), step));
}

void EventWriter::image(std::string_view tag, const Tensor& image, int64_t step) {
  const std::string png = encode_png(image);
  const std::string body = integer_field(1, image.size(1)) + integer_field(2, image.size(2)) + integer_field(3, 3) + bytes_field(4, png);
  record(summary_event(tag, bytes_field(4, body), step));
}

// One write for one record: another process that reads the file sees whole records only, but for a crash within the write.
void EventWriter::record(const std::string& event) {
  const std::string length = fixed(static_cast<uint64_t>(event.size()));
  const std::string whole = length + fixed(masked_crc(length)) + event + fixed(masked_crc(event));
  for (size_t at = 0; at < whole.size();) {
    const ssize_t count = ::write(file_, whole.data() + at, whole.size() - at);
    if (count < 0 && errno == EINTR) continue;
    check<IoError>(count >= 0, path_.string(), ": cannot be written: ", std::strerror(errno));
    at += static_cast<size_t>(count);
  }
}

}  // namespace palate
