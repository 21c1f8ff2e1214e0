#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/data/readers/pair_files.h"
#include "palate/io/atomic_file.h"
#include "palate/io/json.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

struct PairLine {
  size_t begin, size;  // in the file's text
  int64_t number;      // from 1
};

// Lines that hold more than white space.
std::vector<PairLine> split_lines(const std::string& text) {
  std::vector<PairLine> lines;
  size_t begin = text.starts_with("\xEF\xBB\xBF") ? 3 : 0;  // a byte order mark is not JSON
  for (int64_t number = 1; begin < text.size(); ++number) {
    size_t end = text.find('\n', begin);
    if (end == std::string::npos) end = text.size();
    if (text.find_first_not_of(" \t\r\n", begin) < end) lines.push_back({begin, end - begin, number});
    begin = end + 1;
  }
  return lines;
}

class JsonlPairs : public PairSource {
 public:
  JsonlPairs(const fs::path& path, const std::string& ties)
      : path_(path), text_(read_file(path)), lines_(split_lines(text_)), keep_ties_(ties == "soft") {}

  int64_t rows() const override { return static_cast<int64_t>(lines_.size()); }

  bool read(int64_t row, PairRecord& record) override {
    record = {};
    record.origin = origin(row);
    const Json line = parse(row);
    record.prompt = text(line, "prompt", row);
    record.win_name = text(line, "chosen", row);
    record.lose_name = text(line, "rejected", row);
    record.preference = confidence(line, row);
    record.notes.base_prompt = json_notes(line).base_prompt;
    if (record.preference == 0.5) {
      record.kind = PairRecord::Kind::tie;
      if (!keep_ties_) return false;
    }
    record.win = image("chosen", record.win_name, row);
    record.lose = image("rejected", record.lose_name, row);
    finish_record(record);
    return true;
  }

  std::string content(const HashFile& hash) const override {
    std::string text = hash(path_);
    for (int64_t row = 0; row < rows(); ++row) {
      try {
        const Json line = parse(row);
        for (const char* key : {"chosen", "rejected"}) text += hash(path_.parent_path() / this->text(line, key, row));
      } catch (const Error&) {
        // The line itself is part of the file's hash; read() reports it.
      }
    }
    return text;
  }

 private:
  std::string origin(int64_t row) const { return concat(path_.string(), " line ", lines_[static_cast<size_t>(row)].number); }

  Json parse(int64_t row) const {
    const PairLine& line = lines_[static_cast<size_t>(row)];
    Json value = parse_json_line(std::string_view(text_).substr(line.begin, line.size), origin(row));
    check<DataError>(value.is_object(), origin(row), ": expected an object with prompt, chosen and rejected, found ", value.type_name());
    return value;
  }

  std::string text(const Json& line, const char* key, int64_t row) const {
    const auto found = line.find(key);
    check<DataError>(found != line.end(), origin(row), ": the key '", key, "' is missing (expected prompt, chosen and rejected)");
    check<DataError>(found->is_string(), origin(row), ": '", key, "' is ", found->type_name(), ", expected a string");
    return found->get<std::string>();
  }

  double confidence(const Json& line, int64_t row) const {
    const auto found = line.find("confidence");
    if (found == line.end() || found->is_null()) return 1;
    check<DataError>(found->is_number(), origin(row), ": 'confidence' is ", found->type_name(), ", expected a number in [0.5, 1]");
    const double value = found->get<double>();
    check<DataError>(value >= 0.5 && value <= 1, origin(row), ": 'confidence' is ", value,
                     ", expected a number in [0.5, 1]; below 0.5, swap chosen and rejected");
    return value;
  }

  std::string image(const char* key, const std::string& name, int64_t row) const {
    return read_picture(path_.parent_path() / name, concat(origin(row), ": ", key));
  }

  fs::path path_;
  std::string text_;
  std::vector<PairLine> lines_;
  bool keep_ties_;
};

}  // namespace

std::unique_ptr<PairSource> open_jsonl_pairs(const fs::path& path, const std::string& ties) {
  return std::make_unique<JsonlPairs>(path, ties);
}

}  // namespace palate
