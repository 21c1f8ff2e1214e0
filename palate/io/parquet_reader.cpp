#include <arrow/api.h>
#include <arrow/io/file.h>
#include <parquet/arrow/reader.h>
#include <parquet/arrow/schema.h>
#include <parquet/exception.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <new>

#include "palate/core/error.h"
#include "palate/io/lfs_pointer.h"
#include "palate/io/parquet.h"

namespace palate {
namespace {

constexpr int32_t largest_footer_text = 100 << 20, longest_footer_list = 10 << 20;  // Thrift's limits against hostile footers

// The library's words about a broken file may hold the file's own bytes.
std::string in_one_line(std::string words) {
  for (char& c : words) c = static_cast<unsigned char>(c) < 32 || c == 127 ? ' ' : c;
  return words;
}

// Arrow reports by status, Parquet by exception, both out of memory by either: all become one FormatError.
template <class Work>
auto guarded(const std::string& where, Work&& work) {
  try {
    return work();
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    fail<FormatError>(where, ": is a broken parquet file: it asks for more memory than there is");
  } catch (const std::exception& error) {
    fail<FormatError>(where, ": is a broken or unsupported parquet file: ", in_one_line(error.what()));
  }
}

template <class T>
T value_of(arrow::Result<T> result, const std::string& where) {
  check<FormatError>(result.ok(), where, ": is a broken or unsupported parquet file: ", in_one_line(result.status().message()));
  return std::move(result).ValueUnsafe();
}

void refuse_lfs_pointer(const std::filesystem::path& path) {
  std::string head(64, '\0');
  std::ifstream(path, std::ios::binary).read(head.data(), 64);
  palate::refuse_lfs_pointer(head, path.string());
}

std::unique_ptr<parquet::arrow::FileReader> open_reader(const std::filesystem::path& path) {
  const std::string where = path.string();
  check<IoError>(::access(path.c_str(), R_OK) == 0, where, ": cannot be read: ", std::strerror(errno));
  auto file = arrow::io::ReadableFile::Open(where);
  check<IoError>(file.ok(), where, ": cannot be read: ", file.status().message());
  return guarded(where, [&] {
    parquet::ReaderProperties properties;
    properties.set_thrift_string_size_limit(largest_footer_text);
    properties.set_thrift_container_size_limit(longest_footer_list);
    parquet::arrow::FileReaderBuilder builder;
    const auto status = builder.Open(file.ValueUnsafe(), properties);
    if (!status.ok()) refuse_lfs_pointer(path);
    check<FormatError>(status.ok(), where, ": is not a parquet file, or a broken one: ", in_one_line(status.message()));
    std::unique_ptr<parquet::arrow::FileReader> reader;
    const auto built = builder.Build(&reader);
    check<FormatError>(built.ok(), where, ": is a broken or unsupported parquet file: ", in_one_line(built.message()));
    return reader;
  });
}

std::vector<std::string> names_of(const parquet::arrow::FileReader& reader) {
  std::vector<std::string> names;
  for (const auto& field : reader.manifest().schema_fields) names.push_back(field.field->name());
  return names;
}

// The bytes in one place of an array; the array is known to be long enough and not null there.
std::optional<std::string> bytes_at(const arrow::Array& array, int64_t i) {
  using arrow::Type;
  switch (array.type_id()) {
    case Type::STRING:
    case Type::BINARY:
      return std::string(static_cast<const arrow::BinaryArray&>(array).GetView(i));
    case Type::LARGE_STRING:
    case Type::LARGE_BINARY:
      return std::string(static_cast<const arrow::LargeBinaryArray&>(array).GetView(i));
    case Type::STRING_VIEW:
    case Type::BINARY_VIEW:
      return std::string(static_cast<const arrow::BinaryViewArray&>(array).GetView(i));
    case Type::FIXED_SIZE_BINARY:
      return std::string(static_cast<const arrow::FixedSizeBinaryArray&>(array).GetView(i));
    default:
      return std::nullopt;
  }
}

std::optional<double> number_at(const arrow::Array& array, int64_t i) {
  using arrow::Type;
  switch (array.type_id()) {
    case Type::BOOL:
      return static_cast<const arrow::BooleanArray&>(array).Value(i) ? 1.0 : 0.0;
    case Type::INT8:
      return static_cast<const arrow::Int8Array&>(array).Value(i);
    case Type::UINT8:
      return static_cast<const arrow::UInt8Array&>(array).Value(i);
    case Type::INT16:
      return static_cast<const arrow::Int16Array&>(array).Value(i);
    case Type::UINT16:
      return static_cast<const arrow::UInt16Array&>(array).Value(i);
    case Type::INT32:
      return static_cast<const arrow::Int32Array&>(array).Value(i);
    case Type::UINT32:
      return static_cast<const arrow::UInt32Array&>(array).Value(i);
    case Type::INT64:
      return static_cast<double>(static_cast<const arrow::Int64Array&>(array).Value(i));
    case Type::UINT64:
      return static_cast<double>(static_cast<const arrow::UInt64Array&>(array).Value(i));
    case Type::FLOAT:
      return static_cast<const arrow::FloatArray&>(array).Value(i);
    case Type::DOUBLE:
      return static_cast<const arrow::DoubleArray&>(array).Value(i);
    default:
      return std::nullopt;
  }
}

struct Column {
  std::vector<int> leaves;  // of the parquet schema: for an Image struct only `bytes`
  bool is_struct = false;
  int group = -1;
  std::shared_ptr<arrow::ChunkedArray> values;  // of that row group
};

Column locate(const parquet::arrow::SchemaField& field) {
  Column column;
  if (field.is_leaf()) {
    column.leaves = {field.column_index};
  } else if (field.field->type()->id() == arrow::Type::STRUCT) {
    for (const auto& child : field.children) {
      if (child.is_leaf() && child.field->name() == "bytes") column.leaves = {child.column_index};
    }
    column.is_struct = true;
  }
  return column;
}

}  // namespace

struct ParquetTable::State {
  std::string path;
  std::unique_ptr<parquet::arrow::FileReader> reader;
  std::map<std::string, Column> columns;
  std::vector<int64_t> ends;  // rows up to and with each row group

  struct Place {
    std::shared_ptr<arrow::Array> array;  // null where the value is null
    int64_t index = 0;
  };

  std::string where(const std::string& column, int64_t row) const { return concat(path, ": column '", column, "', row ", row); }

  void load(Column& column, int group, const std::string& at) {
    if (column.group == group) return;
    column.group = -1;
    column.values.reset();
    const auto table = guarded(at, [&] { return value_of(reader->ReadRowGroup(group, column.leaves), at); });
    check<FormatError>(table->num_columns() == 1, at, ": is a broken parquet file: ", table->num_columns(),
                       " columns came where one was asked for");
    const auto valid = guarded(at, [&] { return table->Validate(); });
    const auto& group_end = ends[static_cast<size_t>(group)];
    const int64_t expected = group_end - (group ? ends[static_cast<size_t>(group) - 1] : 0);
    check<FormatError>(valid.ok() && table->num_rows() == expected, at, ": is a broken parquet file: row group ", group, " holds ",
                       table->num_rows(), " rows, expected ", expected, " ", valid.message());
    column.values = table->column(0);
    column.group = group;
  }

  Place place(const std::string& name, int64_t row) {
    const auto found = columns.find(name);
    check<DataError>(found != columns.end(), path, ": column '", name, "' was not opened");
    check(row >= 0 && row < (ends.empty() ? 0 : ends.back()), where(name, row), ": the file has ", ends.empty() ? 0 : ends.back(), " rows");
    const auto group = static_cast<int>(std::upper_bound(ends.begin(), ends.end(), row) - ends.begin());
    Column& column = found->second;
    check<FormatError>(!column.leaves.empty(), where(name, row), ": expected text, bytes, a number or an image, found a nested column");
    load(column, group, where(name, row));
    int64_t index = row - (group ? ends[static_cast<size_t>(group) - 1] : 0);
    for (const auto& chunk : column.values->chunks()) {
      if (index >= chunk->length()) {
        index -= chunk->length();
        continue;
      }
      if (chunk->IsNull(index)) return {};
      return column.is_struct ? inside(*chunk, index) : decoded(chunk, index);
    }
    return {};
  }

  Place inside(const arrow::Array& chunk, int64_t index) const {
    const auto child = static_cast<const arrow::StructArray&>(chunk).field(0);
    if (child->IsNull(index)) return {};
    return decoded(child, index);
  }

  // pandas' categories come as dictionaries.
  static Place decoded(const std::shared_ptr<arrow::Array>& array, int64_t index) {
    if (array->type_id() != arrow::Type::DICTIONARY) return {array, index};
    const auto& coded = static_cast<const arrow::DictionaryArray&>(*array);
    const int64_t entry = coded.GetValueIndex(index);
    const auto words = coded.dictionary();
    if (entry < 0 || entry >= words->length() || words->IsNull(entry)) return {};
    return {words, entry};
  }
};

ParquetTable::ParquetTable(const std::filesystem::path& path, std::vector<std::string> columns) : state_(std::make_unique<State>()) {
  state_->path = path.string();
  state_->reader = open_reader(path);
  const std::vector<std::string> names = names_of(*state_->reader);
  for (const auto& wanted : columns) {
    const auto found = std::find(names.begin(), names.end(), wanted);
    check<DataError>(found != names.end(), path.string(), ": has no column '", wanted, "'", did_you_mean(wanted, names),
                     "; its columns are ", one_of(names));
    state_->columns[wanted] = locate(state_->reader->manifest().schema_fields[static_cast<size_t>(found - names.begin())]);
  }
  guarded(path.string(), [&] {
    const auto metadata = state_->reader->parquet_reader()->metadata();
    int64_t end = 0;
    for (int group = 0; group < metadata->num_row_groups(); ++group) {
      const int64_t rows = metadata->RowGroup(group)->num_rows();
      check<FormatError>(rows >= 0 && !__builtin_add_overflow(end, rows, &end), path.string(), ": is a broken parquet file: row group ",
                         group, " has ", rows, " rows");
      state_->ends.push_back(end);
    }
  });
}

ParquetTable::~ParquetTable() = default;

std::vector<std::string> ParquetTable::column_names(const std::filesystem::path& path) { return names_of(*open_reader(path)); }

std::string ParquetTable::metadata(const std::filesystem::path& path, const std::string& key) {
  return guarded(path.string(), [&]() -> std::string {
    const auto values = open_reader(path)->parquet_reader()->metadata()->key_value_metadata();
    const auto found = values ? values->Get(key) : arrow::Result<std::string>(std::string());
    return found.ok() ? found.ValueUnsafe() : "";
  });
}

int64_t ParquetTable::rows() const { return state_->ends.empty() ? 0 : state_->ends.back(); }

std::optional<std::string> ParquetTable::bytes(const std::string& column, int64_t row) const {
  const auto place = state_->place(column, row);
  if (!place.array) return std::nullopt;
  auto value = bytes_at(*place.array, place.index);
  check<FormatError>(value.has_value(), state_->where(column, row), ": expected text or bytes, found ", place.array->type()->ToString());
  return value;
}

std::optional<double> ParquetTable::number(const std::string& column, int64_t row) const {
  const auto place = state_->place(column, row);
  if (!place.array) return std::nullopt;
  const auto value = number_at(*place.array, place.index);
  check<FormatError>(value.has_value(), state_->where(column, row), ": expected a number, found ", place.array->type()->ToString());
  return value;
}

}  // namespace palate
