// Parquet through Arrow, row group by row group. Only the column kinds that preference data uses.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace palate {

class ParquetTable {
 public:
  // FormatError for a broken file; DataError when one of `columns` is missing (the columns that are there are named).
  ParquetTable(const std::filesystem::path& path, std::vector<std::string> columns);
  ~ParquetTable();
  static std::vector<std::string> column_names(const std::filesystem::path& path);
  static std::string metadata(const std::filesystem::path& path, const std::string& key);  // of the footer; "" where it has none

  int64_t rows() const;
  // The value in one row; nullopt for null. Reads are cached by row group, so ascending rows are fast. A struct
  // column with a `bytes` member (Hugging Face's Image) reads as those bytes. FormatError names file, column and row.
  std::optional<std::string> bytes(const std::string& column, int64_t row) const;  // string, binary, Image struct
  std::optional<double> number(const std::string& column, int64_t row) const;      // any number, bool

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Writes rows of named columns; binary columns are stored plain and uncompressed, the others with snappy and
// dictionary, as the Hugging Face writer does. Atomic.
class ParquetWriter {
 public:
  enum class Kind { binary, text, number, integer, boolean };
  struct Column {
    std::string name;
    Kind kind;
  };
  ParquetWriter(const std::filesystem::path& path, std::vector<Column> columns, int64_t rows_per_group = 256);
  ~ParquetWriter();
  void text(size_t column, std::string_view value);  // text or binary
  void number(size_t column, double value);          // number, integer or boolean
  void end_row();                                    // every column must have got its value
  void commit();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace palate
