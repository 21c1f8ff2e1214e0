// A member of a table of choices: its constants as a config holds them, and the object that is made from them. It is one class in one file,
// with a struct Config (its constants, with visit), a constructor from it, and a function at the file's end that the table calls.
#pragma once

#include <memory>

#include "palate/config/choice.h"

namespace palate {

template <class Interface, class... Setup>
struct Member {
  Constants (*defaults)();
  std::unique_ptr<Interface> (*make)(const Constants& constants, const Setup&... setup);
};

template <class Class, class Interface, class... Setup>
Member<Interface, Setup...> member() {
  using Config = typename Class::Config;
  return {[] { return Constants(Config{}); },
          [](const Constants& constants, const Setup&... setup) -> std::unique_ptr<Interface> {
            return std::make_unique<Class>(constants_of<Config>(constants), setup...);
          }};
}

}  // namespace palate
