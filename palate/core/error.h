// Errors. Each is one sentence that says what was expected, what was found, where, and what to do.
#pragma once

#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace palate {

// A run that failed: exit status 1.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
  virtual int exit_status() const { return 1; }
};

// Wrong use: a flag, a command, a path that the person named. Exit status 2.
class UsageError : public Error {
 public:
  using Error::Error;
  int exit_status() const override { return 2; }
};

// A configuration with one or more mistakes, all of them in the message, one a line. Exit status 2.
class ConfigError : public UsageError {
 public:
  using UsageError::UsageError;
};

// A file that is not what it should be: truncated, hostile, of another kind.
class FormatError : public Error {
 public:
  using Error::Error;
};

// Data that cannot be used: a corrupt image, an empty caption, a missing column.
class DataError : public Error {
 public:
  using Error::Error;
};

// The operating system said no: missing file, full disk, no permission.
class IoError : public Error {
 public:
  using Error::Error;
};

template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

// Throws E with the parts joined: fail<FormatError>(path, ": expected 3 dimensions, found ", n).
template <class E = Error, class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  throw E(concat(parts...));
}

template <class E = Error, class... Parts>
void check(bool condition, const Parts&... parts) {
  if (!condition) fail<E>(parts...);
}

// "[2, 3, 64, 64]"
std::string show_shape(const int64_t* sizes, size_t count);
template <class Sizes>
std::string show_shape(const Sizes& sizes) {
  return show_shape(sizes.data(), sizes.size());
}

// The nearest of `known` to `word` by edit distance, or "" when none is near enough to be a slip of the pen.
std::string nearest(std::string_view word, const std::vector<std::string>& known);

// " (did you mean 'beta'?)" or "": it follows the word that is wrong, and any sentence goes on behind it.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& known);

// "a, b or c"
std::string one_of(const std::vector<std::string>& names);

}  // namespace palate
