#include "palate/io/json.h"

#include <nlohmann/json.hpp>

#include "tests/fuzz/targets.h"

void palate::fuzz::json(std::string_view bytes) {
  const Json value = parse_json(bytes, "fuzz");
  promise(parse_json(value.dump(), "again") == value, "what is written is not what was read");
}
