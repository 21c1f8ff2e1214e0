#include "palate/data/pick_a_pic_writer.h"

#include <algorithm>
#include <cstdio>
#include <vector>

namespace palate {
namespace {

const std::vector<ParquetWriter::Column>& columns() {
  static const std::vector<ParquetWriter::Column> all = {{"are_different", ParquetWriter::Kind::boolean},
                                                         {"best_image_uid", ParquetWriter::Kind::text},
                                                         {"caption", ParquetWriter::Kind::text},
                                                         {"created_at", ParquetWriter::Kind::text},
                                                         {"has_label", ParquetWriter::Kind::boolean},
                                                         {"image_0_uid", ParquetWriter::Kind::text},
                                                         {"image_0_url", ParquetWriter::Kind::text},
                                                         {"image_1_uid", ParquetWriter::Kind::text},
                                                         {"image_1_url", ParquetWriter::Kind::text},
                                                         {"jpg_0", ParquetWriter::Kind::binary},
                                                         {"jpg_1", ParquetWriter::Kind::binary},
                                                         {"label_0", ParquetWriter::Kind::number},
                                                         {"label_1", ParquetWriter::Kind::number},
                                                         {"model_0", ParquetWriter::Kind::text},
                                                         {"model_1", ParquetWriter::Kind::text},
                                                         {"ranking_id", ParquetWriter::Kind::integer},
                                                         {"user_id", ParquetWriter::Kind::integer},
                                                         {"num_example_per_prompt", ParquetWriter::Kind::integer},
                                                         {"__index_level_0__", ParquetWriter::Kind::integer}};
  return all;
}

size_t index_of(const char* name) {
  const auto at = std::find_if(columns().begin(), columns().end(), [&](const auto& column) { return column.name == name; });
  return static_cast<size_t>(at - columns().begin());
}

}  // namespace

PickAPicWriter::PickAPicWriter(const std::filesystem::path& file) : out_(file, columns()) {}

void PickAPicWriter::add(const PickAPicRow& row) {
  text("caption", row.caption);
  text("jpg_0", row.pictures[0]);
  text("jpg_1", row.pictures[1]);
  text("image_0_uid", row.uids[0]);
  text("image_1_uid", row.uids[1]);
  text("image_0_url", "");
  text("image_1_url", "");
  text("model_0", row.model);
  text("model_1", row.model);
  text("best_image_uid", row.uids[row.better]);
  number("label_0", row.better == 0 ? 1 : 0);
  number("label_1", row.better == 1 ? 1 : 0);
  number("has_label", 1);
  number("are_different", 1);
  number("user_id", 0);
  number("num_example_per_prompt", 1);
  number("ranking_id", static_cast<double>(rows_));
  number("__index_level_0__", static_cast<double>(rows_));
  text("created_at", "2000-01-01T00:00:00");  // one moment for all, so that the file depends on the pairs alone
  out_.end_row();
  ++rows_;
}

void PickAPicWriter::commit() { out_.commit(); }

void PickAPicWriter::text(const char* column, std::string_view value) { out_.text(index_of(column), value); }

void PickAPicWriter::number(const char* column, double value) { out_.number(index_of(column), value); }

std::string uuid(uint64_t a, uint64_t b) {
  std::array<char, 37> text{};
  std::snprintf(text.data(), text.size(), "%08x-%04x-4%03x-8%03x-%012llx", static_cast<unsigned>(a >> 32),
                static_cast<unsigned>(a >> 16 & 0xFFFF), static_cast<unsigned>(a & 0xFFF), static_cast<unsigned>(b >> 48 & 0xFFF),
                static_cast<unsigned long long>(b & 0xFFFFFFFFFFFFull));
  return text.data();
}

}  // namespace palate
