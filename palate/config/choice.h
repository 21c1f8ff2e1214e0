// A part of a config that a name chooses: which optimizer, which loss. Each member has constants of its own, which are keys of the same
// table as the name. A config holds the constants, as plain values; the member itself is made from them when it is needed.
#pragma once

#include <memory>
#include <string>
#include <typeinfo>
#include <utility>
#include <vector>

#include "palate/config/fields.h"

namespace palate {

// A value of any struct that has visit(Fields&): copied with whoever holds it.
class Constants {
 public:
  Constants() = default;
  template <class Struct>
  explicit Constants(Struct value) : box_(std::make_unique<Holder<Struct>>(std::move(value))) {}
  Constants(const Constants& other) : box_(other.box_ ? other.box_->clone() : nullptr) {}
  Constants(Constants&&) noexcept = default;
  Constants& operator=(Constants other) noexcept {
    box_ = std::move(other.box_);
    return *this;
  }

  void visit(Fields& f) { box_->visit(f); }
  template <class Struct>
  const Struct* as() const {  // null when it is of another kind
    const auto* holder = dynamic_cast<const Holder<Struct>*>(box_.get());
    return holder ? &holder->value : nullptr;
  }
  bool same_kind(const Constants& other) const { return box_ && other.box_ && typeid(*box_) == typeid(*other.box_); }

 private:
  struct Box {
    virtual ~Box() = default;
    virtual std::unique_ptr<Box> clone() const = 0;
    virtual void visit(Fields& f) = 0;
  };
  template <class Struct>
  struct Holder : Box {
    explicit Holder(Struct held) : value(std::move(held)) {}
    std::unique_ptr<Box> clone() const override { return std::make_unique<Holder>(value); }
    void visit(Fields& f) override { value.visit(f); }
    Struct value;
  };
  std::unique_ptr<Box> box_;
};

// For members without constants.
struct NoConstants {
  void visit(Fields&) {}
};

struct ChoiceLine {
  std::string name, summary;
  Constants (*defaults)();
};

// Visits `key`, whose value `name` is one of the lines', and then the constants of the member that it names; where the name has changed
// they are that member's defaults first. Keys that only other members read are mistakes, unless they say what those members have anyway.
void visit_choice(Fields& f, const char* key, std::string& name, Constants& constants, const std::vector<ChoiceLine>& lines,
                  const char* help, const std::vector<std::string>& aliases = {});

std::vector<std::string> names_of(const std::vector<ChoiceLine>& lines);

// What `name` was built with, or its defaults where a program has set the name alone.
template <class Struct>
Struct constants_of(const Constants& held) {
  const Struct* found = held.as<Struct>();
  return found ? *found : Struct{};
}

}  // namespace palate
