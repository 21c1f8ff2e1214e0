#include "palate/text/tokenizer_files.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "palate/core/error.h"
#include "palate/io/atomic_file.h"
#include "palate/io/lfs_pointer.h"

namespace palate {
namespace {

namespace fs = std::filesystem;
// Sorted keys, not io/json.h's insertion order: that one searches a list, which for 49,408 words takes seconds.
using Table = nlohmann::json;

Table read_table(const fs::path& path) {
  const std::string text = read_file(path);
  refuse_lfs_pointer(text, path.string());
  try {
    Table table = Table::parse(text);
    check<FormatError>(table.is_object(), path.string(), ": expected a JSON object, found ", table.type_name());
    return table;
  } catch (const nlohmann::json::exception& e) {
    fail<FormatError>(path.string(), ": is not JSON: ", e.what());
  }
}

Table read_optional(const fs::path& path) { return fs::exists(path) ? read_table(path) : Table::object(); }

Vocabulary read_vocabulary(const Table& table, const std::string& origin) {
  check<FormatError>(table.is_object() && !table.empty(), origin, ": expected an object of tokens and their ids, found ",
                     table.is_object() ? "an empty one" : table.type_name());
  Vocabulary vocabulary;
  vocabulary.reserve(table.size());
  for (const auto& [token, id] : table.items()) {
    const bool fits = id.is_number_integer() && id.get<int64_t>() >= 0 && id.get<int64_t>() < (int64_t{1} << 31);
    check<FormatError>(fits, origin, ": the id of '", token, "' should be a whole number from 0 to 2^31 - 1, found ", id.dump());
    vocabulary[token] = id.get<int64_t>();
  }
  return vocabulary;
}

void add_merge(std::vector<Merge>& merges, const std::string& text, int64_t line, const std::string& origin) {
  const size_t space = text.find(' ');
  const bool two = space != std::string::npos && space > 0 && space + 1 < text.size() && text.find(' ', space + 1) == std::string::npos;
  check<FormatError>(two, origin, ":", line, ": expected two tokens with one space between them, found '", text.substr(0, 60), "'");
  merges.push_back({text.substr(0, space), text.substr(space + 1), line});
}

std::vector<Merge> read_merges(const fs::path& path) {
  const std::string text = read_file(path);
  std::vector<Merge> merges;
  int64_t line = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string row = text.substr(at, end - at);
    at = end + 1;
    ++line;
    if (!row.empty() && row.back() == '\r') row.pop_back();
    if (!row.empty() && !row.starts_with("#version")) add_merge(merges, row, line, path.string());
  }
  return merges;
}

std::vector<Merge> read_merges(const Table& list, const std::string& origin) {
  check<FormatError>(list.is_array(), origin, ": model.merges should be a list, found ", list.type_name());
  std::vector<Merge> merges;
  int64_t number = 0;
  for (const auto& row : list) {
    ++number;
    if (row.is_string()) {
      add_merge(merges, row.get<std::string>(), number, origin);
    } else {
      const bool two = row.is_array() && row.size() == 2 && row[0].is_string() && row[1].is_string();
      check<FormatError>(two, origin, ": merge ", number, " of model.merges should be two tokens, found ", row.dump().substr(0, 60));
      merges.push_back({row[0].get<std::string>(), row[1].get<std::string>(), number});
    }
  }
  return merges;
}

struct NamedToken {
  std::string content;
  bool normalized = false;
};

NamedToken parse_token(const Table& value, const std::string& name, const std::string& origin) {
  if (value.is_string()) return {value.get<std::string>(), false};
  const bool named = value.is_object() && value.contains("content") && value["content"].is_string();
  check<FormatError>(named, origin, ": ", name, " should be text or an object with 'content', found ", value.dump().substr(0, 80));
  for (const char* flag : {"lstrip", "rstrip", "single_word"}) {
    check<FormatError>(!value.contains(flag) || value[flag] == false, origin, ": ", name, " asks for ", flag,
                       ", which Palate's CLIP tokenizer has not");
  }
  const bool special = value.value("special", true);
  return {value["content"].get<std::string>(), value.value("normalized", !special)};
}

class Reader {
 public:
  explicit Reader(const fs::path& folder)
      : folder_(folder),
        config_(read_optional(folder / "tokenizer_config.json")),
        special_(read_optional(folder / "special_tokens_map.json")) {}

  TokenizerFiles read() {
    read_model();
    read_added();
    read_named();
    read_length();
    return std::move(files_);
  }

 private:
  void read_model() {
    const fs::path vocabulary = folder_ / "vocab.json", merges = folder_ / "merges.txt", both = folder_ / "tokenizer.json";
    if (fs::exists(vocabulary) || !fs::exists(both)) {
      files_.vocabulary = read_vocabulary(read_table(vocabulary), vocabulary.string());
      files_.merges = read_merges(merges);
      files_.merges_origin = merges.string();
      return;
    }
    const Table table = read_table(both);
    const bool bpe =
        table.contains("model") && table["model"].is_object() && table["model"].contains("vocab") && table["model"].contains("merges");
    check<FormatError>(bpe, both.string(), ": expected a byte-pair model with model.vocab and model.merges");
    files_.vocabulary = read_vocabulary(table["model"]["vocab"], both.string());
    files_.merges = read_merges(table["model"]["merges"], both.string());
    files_.merges_origin = both.string();
    if (table.contains("added_tokens") && table["added_tokens"].is_array()) {
      for (const auto& token : table["added_tokens"])
        add(parse_token(token, "an entry of added_tokens", both.string()), id_in(token, both));
    }
  }

  std::optional<int64_t> id_in(const Table& token, const fs::path& path) const {
    const bool has = token.is_object() && token.contains("id") && token["id"].is_number_unsigned();
    check<FormatError>(has, path.string(), ": an entry of added_tokens has no id: ", token.dump().substr(0, 80));
    return token["id"].get<int64_t>();
  }

  void read_added() {
    const std::string origin = (folder_ / "tokenizer_config.json").string();
    if (config_.contains("added_tokens_decoder") && config_["added_tokens_decoder"].is_object()) {
      for (const auto& [key, token] : config_["added_tokens_decoder"].items()) {
        const bool number = !key.empty() && key.size() < 10 && key.find_first_not_of("0123456789") == std::string::npos;
        check<FormatError>(number, origin, ": added_tokens_decoder has the key '", key, "', expected an id");
        add(parse_token(token, "an entry of added_tokens_decoder", origin), std::stoll(key));
      }
    }
    const fs::path legacy = folder_ / "added_tokens.json";
    if (!fs::exists(legacy)) return;
    for (const auto& [token, id] : read_vocabulary_or_empty(legacy)) add({token, true}, id);
  }

  Vocabulary read_vocabulary_or_empty(const fs::path& path) const {
    const Table table = read_table(path);
    return table.empty() ? Vocabulary() : read_vocabulary(table, path.string());
  }

  // The last word on a content wins; one without an id takes that of the vocabulary, or the next free one.
  int64_t add(const NamedToken& token, std::optional<int64_t> id) {
    for (auto& before : files_.added) {
      if (before.content != token.content) continue;
      before.normalized = token.normalized;
      return before.id;
    }
    if (!id) {
      const auto found = files_.vocabulary.find(token.content);
      id = found != files_.vocabulary.end() ? found->second : next_free_id();
    }
    files_.added.push_back({token.content, *id, token.normalized});
    return *id;
  }

  int64_t next_free_id() const {
    auto next = static_cast<int64_t>(files_.vocabulary.size());
    for (const auto& token : files_.added) next = std::max(next, token.id + 1);
    return next;
  }

  void read_named() {
    const std::string end = "<|endoftext|>";
    const auto known = files_.added.size();
    files_.start = named("bos_token", "<|startoftext|>", known);
    files_.end = named("eos_token", end, known);
    files_.unknown = named("unk_token", end, known);
    files_.pad = named("pad_token", end, known);
  }

  int64_t named(const std::string& name, const std::string& otherwise, size_t known) {
    const bool map_counts = !config_.contains("added_tokens_decoder");
    NamedToken token{otherwise, false};
    if (map_counts && special_.contains(name) && !special_[name].is_null()) {
      token = parse_token(special_[name], name, (folder_ / "special_tokens_map.json").string());
    } else if (config_.contains(name) && !config_[name].is_null()) {
      token = parse_token(config_[name], name, (folder_ / "tokenizer_config.json").string());
    }
    check<FormatError>(!token.content.empty(), folder_.string(), ": ", name, " is empty");
    for (size_t i = 0; i < known; ++i) {  // what the files add by id keeps its own flags
      if (files_.added[i].content == token.content) return files_.added[i].id;
    }
    return add(token, std::nullopt);
  }

  void read_length() {
    if (!config_.contains("model_max_length") || !config_["model_max_length"].is_number()) return;
    const double length = config_["model_max_length"].get<double>();
    if (length > 1e6) return;  // transformers writes 1e30 for "not known"
    check<FormatError>(length >= 2, (folder_ / "tokenizer_config.json").string(), ": model_max_length should be at least 2, found ",
                       length);
    files_.max_length = static_cast<int64_t>(length);
  }

  fs::path folder_;
  Table config_, special_;
  TokenizerFiles files_;
};

}  // namespace

TokenizerFiles read_tokenizer_files(const fs::path& folder) { return Reader(folder).read(); }

}  // namespace palate
