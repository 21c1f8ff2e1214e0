#include <arrow/api.h>
#include <arrow/io/interfaces.h>
#include <arrow/util/utf8.h>
#include <parquet/arrow/writer.h>
#include <parquet/exception.h>

#include <cmath>

#include "palate/core/error.h"
#include "palate/io/atomic_file.h"
#include "palate/io/parquet.h"

namespace palate {
namespace {

// Arrow's idea of a file over ours. The disk's error is kept, since a status has room for text only.
class Sink : public arrow::io::OutputStream {
 public:
  explicit Sink(AtomicFile& file) : file_(file) {}
  arrow::Status Close() override {
    closed_ = true;
    return arrow::Status::OK();
  }
  bool closed() const override { return closed_; }
  arrow::Result<int64_t> Tell() const override { return position_; }
  arrow::Status Write(const void* data, int64_t size) override {
    try {
      file_.write({static_cast<const char*>(data), static_cast<size_t>(size)});
    } catch (const IoError& error) {
      problem = error.what();
      return arrow::Status::IOError(problem);
    }
    position_ += size;
    return arrow::Status::OK();
  }
  std::string problem;

 private:
  AtomicFile& file_;
  int64_t position_ = 0;
  bool closed_ = false;
};

std::shared_ptr<arrow::DataType> type_of(ParquetWriter::Kind kind) {
  switch (kind) {
    case ParquetWriter::Kind::binary:
      return arrow::binary();
    case ParquetWriter::Kind::text:
      return arrow::utf8();
    case ParquetWriter::Kind::number:
      return arrow::float64();
    case ParquetWriter::Kind::integer:
      return arrow::int64();
    case ParquetWriter::Kind::boolean:
      break;
  }
  return arrow::boolean();
}

std::shared_ptr<arrow::Schema> schema_of(const std::vector<ParquetWriter::Column>& columns) {
  std::vector<std::shared_ptr<arrow::Field>> fields;
  for (const auto& column : columns) fields.push_back(arrow::field(column.name, type_of(column.kind)));
  return arrow::schema(fields);
}

std::shared_ptr<parquet::WriterProperties> properties_of(const std::vector<ParquetWriter::Column>& columns) {
  parquet::WriterProperties::Builder builder;
  builder.compression(parquet::Compression::SNAPPY);
  for (const auto& column : columns) {
    if (column.kind != ParquetWriter::Kind::binary) continue;
    builder.compression(column.name, parquet::Compression::UNCOMPRESSED);  // pictures are compressed already
    builder.disable_dictionary(column.name);
    builder.disable_statistics(column.name);
  }
  return builder.build();
}

}  // namespace

struct ParquetWriter::State {
  std::string path;
  std::vector<Column> columns;
  int64_t rows_per_group = 0, rows = 0;
  std::vector<bool> given;
  std::unique_ptr<AtomicFile> file;
  std::shared_ptr<Sink> sink;
  std::shared_ptr<arrow::Schema> schema;
  std::vector<std::unique_ptr<arrow::ArrayBuilder>> builders;
  std::unique_ptr<parquet::arrow::FileWriter> writer;

  void must(const arrow::Status& status) const {
    check<IoError>(status.ok(), sink->problem.empty() ? path + ": cannot be written as parquet: " + status.message() : sink->problem);
  }

  // Arrow's writer throws as well.
  template <class Work>
  void guarded(Work&& work) const {
    try {
      work();
    } catch (const Error&) {
      throw;
    } catch (const std::exception& error) {
      must(arrow::Status::IOError(error.what()));
    }
  }

  void take(size_t column) {
    check(column < columns.size(), path, ": there is no column ", column, " to write to, there are ", columns.size());
    check(!given[column], path, ": column '", columns[column].name, "' got two values in row ", rows);
    given[column] = true;
  }

  void flush() {
    if (rows == 0) return;
    std::vector<std::shared_ptr<arrow::Array>> arrays;
    for (auto& builder : builders) {
      arrays.emplace_back();
      must(builder->Finish(&arrays.back()));
    }
    guarded([&] { must(writer->WriteTable(*arrow::Table::Make(schema, arrays, rows), rows)); });
    rows = 0;
  }
};

ParquetWriter::ParquetWriter(const std::filesystem::path& path, std::vector<Column> columns, int64_t rows_per_group)
    : state_(std::make_unique<State>()) {
  check(!columns.empty() && rows_per_group > 0, path.string(), ": a parquet file needs columns, and rows in a group");
  auto& s = *state_;
  s.path = path.string();
  s.columns = std::move(columns);
  s.rows_per_group = rows_per_group;
  s.given.resize(s.columns.size());
  s.file = std::make_unique<AtomicFile>(path);
  s.sink = std::make_shared<Sink>(*s.file);
  s.schema = schema_of(s.columns);
  for (const auto& column : s.columns) {
    s.builders.emplace_back();
    s.must(arrow::MakeBuilder(arrow::default_memory_pool(), type_of(column.kind), &s.builders.back()));
  }
  arrow::util::InitializeUTF8();
  s.guarded([&] {
    const auto keep_schema = parquet::ArrowWriterProperties::Builder().store_schema()->build();
    auto opened = parquet::arrow::FileWriter::Open(*s.schema, arrow::default_memory_pool(), s.sink, properties_of(s.columns), keep_schema);
    s.must(opened.status());
    s.writer = std::move(opened).ValueUnsafe();
  });
}

ParquetWriter::~ParquetWriter() = default;

void ParquetWriter::text(size_t column, std::string_view value) {
  auto& s = *state_;
  s.take(column);
  const ParquetWriter::Kind kind = s.columns[column].kind;
  check(kind == ParquetWriter::Kind::text || kind == ParquetWriter::Kind::binary, s.path, ": column '", s.columns[column].name,
        "' holds numbers, got text");
  const auto* data = reinterpret_cast<const uint8_t*>(value.data());
  check<DataError>(kind == ParquetWriter::Kind::binary || arrow::util::ValidateUTF8(data, static_cast<int64_t>(value.size())), s.path,
                   ": column '", s.columns[column].name, "', row ", s.rows, " of its group: the text is not UTF-8");
  s.must(static_cast<arrow::BinaryBuilder&>(*s.builders[column]).Append(value));
}

void ParquetWriter::number(size_t column, double value) {
  auto& s = *state_;
  s.take(column);
  auto& builder = *s.builders[column];
  switch (s.columns[column].kind) {
    case ParquetWriter::Kind::number:
      return s.must(static_cast<arrow::DoubleBuilder&>(builder).Append(value));
    case ParquetWriter::Kind::integer:
      check(value == std::floor(value) && std::abs(value) <= 9007199254740992.0, s.path, ": column '", s.columns[column].name,
            "' holds whole numbers, got ", value);
      return s.must(static_cast<arrow::Int64Builder&>(builder).Append(static_cast<int64_t>(value)));
    case ParquetWriter::Kind::boolean:
      return s.must(static_cast<arrow::BooleanBuilder&>(builder).Append(value != 0));
    default:
      fail(s.path, ": column '", s.columns[column].name, "' holds text, got a number");
  }
}

void ParquetWriter::end_row() {
  auto& s = *state_;
  for (size_t i = 0; i < s.given.size(); ++i) {
    check(s.given[i], s.path, ": column '", s.columns[i].name, "' got no value in row ", s.rows, " of its group");
    s.given[i] = false;
  }
  if (++s.rows == s.rows_per_group) s.flush();
}

void ParquetWriter::commit() {
  auto& s = *state_;
  s.flush();
  s.guarded([&] { s.must(s.writer->Close()); });
  s.file->commit();
}

}  // namespace palate
