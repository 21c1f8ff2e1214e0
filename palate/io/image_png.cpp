#include <png.h>

#include <csetjmp>
#include <cstring>

#include "palate/core/error.h"
#include "palate/io/image_codecs.h"

namespace palate {
namespace {

// What libpng's callbacks share. Errors jump out of libpng to the setjmp of `guarded`, so nothing with a destructor may live in
// the functions that call libpng.
struct Session {
  const char* data = nullptr;
  size_t size = 0, at = 0;
  std::string* out = nullptr;
  char problem[200] = "";
};

void on_error(png_structp png, png_const_charp text) {
  auto* session = static_cast<Session*>(png_get_error_ptr(png));
  std::strncpy(session->problem, text, sizeof session->problem - 1);
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}

void on_read(png_structp png, png_bytep to, size_t count) {
  auto* session = static_cast<Session*>(png_get_io_ptr(png));
  if (count > session->size - session->at) png_error(png, "the data ends too early");
  std::memcpy(to, session->data + session->at, count);
  session->at += count;
}

void on_write(png_structp png, png_bytep from, size_t count) {
  static_cast<Session*>(png_get_io_ptr(png))->out->append(reinterpret_cast<char*>(from), count);
}
void on_flush(png_structp) {}

// Runs work(argument) under libpng's error jump; false when it jumped.
bool guarded(png_structp png, void (*work)(void*), void* argument) {
  if (setjmp(png_jmpbuf(png))) return false;
  work(argument);
  return true;
}

struct Reader {
  Session session;
  png_structp png = nullptr;
  png_infop info = nullptr;
  png_uint_32 width = 0, height = 0;
  int depth = 0, color = 0;
  size_t row_bytes = 0;
  uint8_t** rows = nullptr;
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
};

void read_header(void* argument) {
  auto& r = *static_cast<Reader*>(argument);
  png_set_user_limits(r.png, 0x7fffffff, 0x7fffffff);  // the limit on pixels is ours
  png_read_info(r.png, r.info);
  png_get_IHDR(r.png, r.info, &r.width, &r.height, &r.depth, &r.color, nullptr, nullptr, nullptr);
}

void prepare(void* argument) {
  auto& r = *static_cast<Reader*>(argument);
  if (r.color == PNG_COLOR_TYPE_GRAY && r.depth < 8) png_set_expand_gray_1_2_4_to_8(r.png);
  if (r.color == PNG_COLOR_TYPE_PALETTE) png_set_packing(r.png);
  if (r.depth == 16 && r.color != PNG_COLOR_TYPE_GRAY) png_set_strip_16(r.png);  // Pillow keeps the high byte
  png_set_interlace_handling(r.png);
  png_read_update_info(r.png, r.info);
  r.row_bytes = png_get_rowbytes(r.png, r.info);
}

void read_pixels(void* argument) {
  auto& r = *static_cast<Reader*>(argument);
  png_read_image(r.png, r.rows);
  png_read_end(r.png, r.info);
}

// One row to RGB: alpha is dropped, not blended, and 16-bit grey is clipped at 255, as Image.convert("RGB") does both.
void row_to_rgb(const Reader& r, const uint8_t* palette, const uint8_t* in, uint8_t* out) {
  for (size_t x = 0; x < r.width; ++x, out += 3) {
    switch (r.color) {
      case PNG_COLOR_TYPE_GRAY:
        out[0] = out[1] = out[2] = r.depth < 16 ? in[x] : in[2 * x] == 0 ? in[2 * x + 1] : 255;
        break;
      case PNG_COLOR_TYPE_GRAY_ALPHA:
        out[0] = out[1] = out[2] = in[2 * x];
        break;
      case PNG_COLOR_TYPE_PALETTE:
        std::memcpy(out, palette + 3 * in[x], 3);
        break;
      case PNG_COLOR_TYPE_RGB_ALPHA:
        std::memcpy(out, in + 4 * x, 3);
        break;
      default:
        std::memcpy(out, in + 3 * x, 3);
    }
  }
}

// Entries that the file leaves out are a grey ramp, as Pillow has them.
std::vector<uint8_t> read_palette(const Reader& r) {
  std::vector<uint8_t> table(256 * 3);
  for (size_t i = 0; i < table.size(); ++i) table[i] = static_cast<uint8_t>(i / 3);
  png_colorp colors = nullptr;
  int count = 0;
  png_get_PLTE(r.png, r.info, &colors, &count);
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    table[3 * i] = colors[i].red;
    table[3 * i + 1] = colors[i].green;
    table[3 * i + 2] = colors[i].blue;
  }
  return table;
}

int read_orientation(const Reader& r) {
  std::string_view exif, xmp;
  png_uint_32 size = 0;
  png_bytep data = nullptr;
  if (png_get_eXIf_1(r.png, r.info, &size, &data)) exif = {reinterpret_cast<char*>(data), size};
  png_textp texts = nullptr;
  int count = 0;
  png_get_text(r.png, r.info, &texts, &count);
  for (int i = 0; i < count; ++i) {
    if (std::string_view(texts[i].key) != "XML:com.adobe.xmp" || !texts[i].text) continue;
    xmp = texts[i].text;
  }
  return image_orientation(exif, xmp);
}

}  // namespace

RawImage decode_png(std::string_view bytes, const std::string& origin, int64_t max_pixels) {
  Reader r;
  r.session.data = bytes.data();
  r.session.size = bytes.size();
  r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r.session, on_error, on_warning);
  check(r.png != nullptr, origin, ": the PNG decoder could not start");
  r.info = png_create_info_struct(r.png);
  png_set_read_fn(r.png, &r.session, on_read);
  const auto run = [&](void (*work)(void*)) {
    check<FormatError>(guarded(r.png, work, &r), origin, ": is a broken or truncated PNG: ", r.session.problem);
  };
  run(read_header);
  check_image_size(r.width, r.height, max_pixels, origin);
  run(prepare);
  std::vector<uint8_t> pixels(r.row_bytes * r.height);
  std::vector<uint8_t*> rows(r.height);
  for (size_t y = 0; y < r.height; ++y) rows[y] = pixels.data() + y * r.row_bytes;
  r.rows = rows.data();
  run(read_pixels);
  RawImage image{r.width, r.height, std::vector<uint8_t>(size_t{3} * r.width * r.height), read_orientation(r)};
  const std::vector<uint8_t> palette = read_palette(r);
  for (size_t y = 0; y < r.height; ++y) row_to_rgb(r, palette.data(), rows[y], image.rgb.data() + y * r.width * 3);
  return image;
}

namespace {

struct Writer {
  Session session;
  png_structp png = nullptr;
  png_infop info = nullptr;
  const uint8_t* rgb = nullptr;
  png_uint_32 width = 0, height = 0;
  ~Writer() { png_destroy_write_struct(&png, &info); }
};

void write_all_rows(void* argument) {
  auto& w = *static_cast<Writer*>(argument);
  png_set_IHDR(w.png, w.info, w.width, w.height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  png_write_info(w.png, w.info);
  for (png_uint_32 y = 0; y < w.height; ++y) png_write_row(w.png, w.rgb + size_t{3} * w.width * y);
  png_write_end(w.png, nullptr);
}

}  // namespace

std::string encode_png_rows(const uint8_t* rgb, int64_t width, int64_t height) {
  std::string out;
  Writer w;
  w.session.out = &out;
  w.rgb = rgb;
  w.width = static_cast<png_uint_32>(width);
  w.height = static_cast<png_uint_32>(height);
  w.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &w.session, on_error, on_warning);
  check(w.png != nullptr, "the PNG encoder could not start");
  w.info = png_create_info_struct(w.png);
  png_set_write_fn(w.png, &w.session, on_write, on_flush);
  check(guarded(w.png, write_all_rows, &w), "the PNG encoder failed on an image of ", width, " x ", height, ": ", w.session.problem);
  return out;
}

}  // namespace palate
