// Typed configuration. A config is a plain struct with defaults and one method,
//
//   void visit(Fields& f) {
//     f("rank", rank, "LoRA rank; 0 trains the whole model", {.min = 0, .max = 4096});
//     f("loss", loss, "which loss", {.choices = loss_names()});
//     f.table("optimizer", optimizer, "how weights move");
//   }
//
// which lists its fields once. Parsing, key=value overrides, help, saving and comparing two configs are visitors.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace palate {

struct Limits {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  std::vector<std::string> choices = {};  // for text: the allowed words
  std::vector<std::string> aliases = {};  // other tools' names for the key (TRL, LLaMA-Factory, diffusers)
};

class Fields {
 public:
  virtual ~Fields() = default;
  // `help`: one line: meaning, unit or range, and the meaning of 0 or "".
  virtual void operator()(const char* key, bool& value, const char* help, const Limits& limits = {}) = 0;
  virtual void operator()(const char* key, int64_t& value, const char* help, const Limits& limits = {}) = 0;
  virtual void operator()(const char* key, double& value, const char* help, const Limits& limits = {}) = 0;
  virtual void operator()(const char* key, std::string& value, const char* help, const Limits& limits = {}) = 0;
  virtual void operator()(const char* key, std::vector<std::string>& value, const char* help, const Limits& limits = {}) = 0;
  virtual void operator()(const char* key, std::vector<int64_t>& value, const char* help, const Limits& limits = {}) = 0;
  virtual void operator()(const char* key, std::vector<double>& value, const char* help, const Limits& limits = {}) = 0;

  // A nested struct: a TOML table, or `key.` in an override.
  template <class Struct>
  void table(const char* key, Struct& nested, const char* help) {
    begin(key, help);
    nested.visit(*this);
    end();
  }

  // Keys of a member that `key` could name, but `chosen` is named. Most visitors pass over them; where true is returned the member's
  // fields follow, and then end_unchosen().
  virtual bool begin_unchosen(const std::string& /*key*/, const std::string& /*member*/, const std::string& /*chosen*/) { return false; }
  virtual void end_unchosen() {}

  // A key that earlier versions had and whose one value was `value`: files may still say so, which means nothing now. `instead` follows
  // "is no key any more: ", for whoever sets anything else.
  virtual void former(const char* /*key*/, const std::string& /*value*/, const char* /*instead*/) {}

  // A rule between fields; `message` says what to change. Collected with all the other mistakes.
  virtual void require(bool holds, const std::string& message) = 0;

 protected:
  virtual void begin(const char* key, const char* help) = 0;
  virtual void end() = 0;
};

}  // namespace palate
