#include "palate/text/unicode.h"

#include <utf8proc.h>

#include <cstdlib>
#include <memory>

#include "palate/core/error.h"

namespace palate {
namespace {

enum class Kind { space, letter, number, other };

// The pattern's \s: Unicode's White_Space. (U+180E, which older tables count in, is not.)
bool is_space(utf8proc_int32_t c) {
  return (c >= 0x9 && c <= 0xD) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

Kind kind_of(utf8proc_int32_t c) {
  if (is_space(c)) return Kind::space;
  switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return Kind::letter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return Kind::number;
    default:
      return Kind::other;
  }
}

// The code point at `at` and its length in bytes; length 0 where the bytes are not UTF-8.
struct CodePoint {
  utf8proc_int32_t value = -1;
  size_t length = 0;
};
CodePoint code_point(std::string_view text, size_t at) {
  CodePoint found;
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at;
  const utf8proc_ssize_t used = utf8proc_iterate(bytes, static_cast<utf8proc_ssize_t>(text.size() - at), &found.value);
  if (used > 0) found.length = static_cast<size_t>(used);
  return found;
}

void append(std::string& out, utf8proc_int32_t c) {
  utf8proc_uint8_t bytes[4];
  const utf8proc_ssize_t length = utf8proc_encode_char(c, bytes);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(length));
}

std::string to_nfc(std::string_view text) {
  utf8proc_uint8_t* mapped = nullptr;
  const auto flags = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  const utf8proc_ssize_t length =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()), &mapped, flags);
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, &std::free);
  check<DataError>(length >= 0, "text: cannot be brought to NFC: ", utf8proc_errmsg(length));
  return std::string(reinterpret_cast<const char*>(mapped), static_cast<size_t>(length));
}

// Where the piece that starts at `at` ends, for letters, numbers and the rest.
size_t run_end(std::string_view text, size_t at, Kind kind) {
  do {
    at += code_point(text, at).length;
  } while (kind != Kind::number && at < text.size() && kind_of(code_point(text, at).value) == kind);
  return at;
}

}  // namespace

std::string valid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = code_point(text, at);
    if (c.length > 0) {
      out.append(text.substr(at, c.length));
      at += c.length;
    } else {
      out += "\xEF\xBF\xBD";
      ++at;
    }
  }
  return out;
}

std::string clip_normalize(std::string_view text) {
  const std::string composed = to_nfc(text);
  std::string out;
  out.reserve(composed.size());
  bool in_space = false;
  for (size_t at = 0; at < composed.size();) {
    const CodePoint c = code_point(composed, at);
    at += c.length;
    const bool space = is_space(c.value);
    if (space && !in_space) out += ' ';
    in_space = space;
    if (space) continue;
    if (c.value == 0x130) {
      out += "i\xCC\x87";  // the only code point whose lower case is two: i and a dot above
    } else {
      append(out, utf8proc_tolower(c.value));
    }
  }
  return out;
}

std::vector<std::string_view> clip_pieces(std::string_view text) {
  static constexpr std::string_view markers[] = {"<|startoftext|>", "<|endoftext|>"};
  static constexpr std::string_view endings[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
  std::vector<std::string_view> pieces;
  size_t at = 0;
  const auto take = [&](size_t length) {
    pieces.push_back(text.substr(at, length));
    at += length;
  };
  const auto take_marker = [&] {
    for (const auto marker : markers) {
      if (!text.substr(at).starts_with(marker)) continue;
      take(2);
      take(marker.size() - 4);
      take(2);
      return true;
    }
    return false;
  };
  const auto take_ending = [&] {
    for (const auto ending : endings) {
      if (!text.substr(at).starts_with(ending)) continue;
      take(ending.size());
      return true;
    }
    return false;
  };
  while (at < text.size()) {
    if (text[at] == '<' && take_marker()) continue;
    if (text[at] == '\'' && take_ending()) continue;
    const CodePoint c = code_point(text, at);
    check<DataError>(c.length > 0, "text: byte ", at, " is not UTF-8");
    const Kind kind = kind_of(c.value);
    if (kind == Kind::space) {
      at += c.length;
    } else {
      take(run_end(text, at, kind) - at);
    }
  }
  return pieces;
}

}  // namespace palate
