// Fields has one function for each type; a visitor usually does the same with all of them. Derived has
//   template <class T> void field(const char* key, T& value, const char* help, const Limits& limits);
// and reads the dotted path of the table that it is in from `table_`.
#pragma once

#include <string>
#include <vector>

#include "palate/config/fields.h"

namespace palate {

template <class Derived>
class Visitor : public Fields {
 public:
  void operator()(const char* k, bool& v, const char* h, const Limits& l) override { self().field(k, v, h, l); }
  void operator()(const char* k, int64_t& v, const char* h, const Limits& l) override { self().field(k, v, h, l); }
  void operator()(const char* k, double& v, const char* h, const Limits& l) override { self().field(k, v, h, l); }
  void operator()(const char* k, std::string& v, const char* h, const Limits& l) override { self().field(k, v, h, l); }
  void operator()(const char* k, std::vector<std::string>& v, const char* h, const Limits& l) override { self().field(k, v, h, l); }
  void operator()(const char* k, std::vector<int64_t>& v, const char* h, const Limits& l) override { self().field(k, v, h, l); }
  void operator()(const char* k, std::vector<double>& v, const char* h, const Limits& l) override { self().field(k, v, h, l); }

 protected:
  void begin(const char* key, const char* help) override {
    outer_.push_back(table_);
    table_ = path(key);
    self().entered(help);
  }
  void end() override {
    table_ = outer_.back();
    outer_.pop_back();
  }
  std::string path(const std::string& key) const { return table_.empty() ? key : table_ + "." + key; }

  std::string table_;

 private:
  Derived& self() { return static_cast<Derived&>(*this); }
  std::vector<std::string> outer_;
};

}  // namespace palate
