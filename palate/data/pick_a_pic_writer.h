// Pairs as a Parquet file of Pick-a-Pic's form (yuvalkirstain/pickapic_v1): all of its 19 columns, so that what reads that set reads this.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>

#include "palate/io/parquet.h"

namespace palate {

// Two pictures of one caption, and which of them is the better.
struct PickAPicRow {
  std::string caption, model;           // `model` made both
  std::array<std::string, 2> pictures;  // encoded; the columns are called jpg_0 and jpg_1, but readers go by content
  std::array<std::string, 2> uids;
  size_t better = 0;  // 0: the first, 1: the second
};

class PickAPicWriter {
 public:
  explicit PickAPicWriter(const std::filesystem::path& file);
  void add(const PickAPicRow& row);  // rows are numbered as they come
  void commit();                     // without it there is no file

 private:
  void text(const char* column, std::string_view value);
  void number(const char* column, double value);

  ParquetWriter out_;
  int64_t rows_ = 0;
};

// A random-looking uuid (version 4) that depends on the two numbers alone.
std::string uuid(uint64_t a, uint64_t b);

}  // namespace palate
