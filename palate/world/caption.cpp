#include "palate/world/caption.h"

#include <sstream>

#include "palate/core/error.h"

namespace palate::world {
namespace {

// Reads a caption word by word.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {
    std::istringstream in{std::string(text)};
    for (std::string word; in >> word;) words_.push_back(word);
  }

  bool done() const { return next_ == words_.size(); }
  std::string peek() const { return done() ? "" : words_[next_]; }

  void expect(const std::string& word) {
    if (peek() != word) complain("'" + word + "'");
    ++next_;
  }

  // The index of the entry of `table` that stands here; entries may have two words.
  template <class Table>
  int read(const Table& table) {
    for (size_t i = 0; i < table.size(); ++i) {
      if (accept(table[i])) return static_cast<int>(i);
    }
    complain(one_of(std::vector<std::string>(table.begin(), table.end())));
  }

  [[noreturn]] void complain(const std::string& expected) const {
    fail<DataError>("the caption \"", text_, "\" is none of the embedded world's: expected ", expected, " as word ", next_ + 1, ", found ",
                    done() ? "the end" : "'" + peek() + "'");
  }

 private:
  bool accept(const char* entry) {
    std::istringstream in{std::string(entry)};
    size_t at = next_;
    for (std::string word; in >> word; ++at) {
      if (at >= words_.size() || words_[at] != word) return false;
    }
    next_ = at;
    return true;
  }

  std::string_view text_;
  std::vector<std::string> words_;
  size_t next_ = 0;
};

Object read_object(Reader& reader) {
  Object object;
  object.size = reader.read(sizes);
  object.colour = reader.read(colours);
  object.shape = reader.read(shapes);
  return object;
}

}  // namespace

std::string object_text(const Object& object) {
  return concat(sizes[static_cast<size_t>(object.size)], " ", colours[static_cast<size_t>(object.colour)], " ",
                shapes[static_cast<size_t>(object.shape)]);
}

Object parse_object(std::string_view text) {
  Reader reader(text);
  const Object object = read_object(reader);
  if (!reader.done()) reader.complain("the end");
  return object;
}

std::string caption(const Scene& scene) {
  std::string text = "a " + object_text(scene.objects[0]);
  if (scene.objects.size() == 2) text += concat(" ", relations[static_cast<size_t>(scene.relation)], " a ", object_text(scene.objects[1]));
  return text + concat(" on a ", backgrounds[static_cast<size_t>(scene.background)], " background");
}

Scene parse_caption(std::string_view text) {
  Reader reader(text);
  Scene scene;
  reader.expect("a");
  scene.objects.push_back(read_object(reader));
  if (reader.peek() != "on") {
    scene.relation = reader.read(relations);
    reader.expect("a");
    scene.objects.push_back(read_object(reader));
  }
  reader.expect("on");
  reader.expect("a");
  scene.background = reader.read(backgrounds);
  reader.expect("background");
  if (!reader.done()) reader.complain("the end");
  return scene;
}

Scene misremember(const Scene& scene, Generator& generator) {
  Scene wrong = scene;
  Object& object = wrong.objects[static_cast<size_t>(generator.below(static_cast<int64_t>(wrong.objects.size())))];
  switch (generator.below(4)) {
    case 0:
      object.shape = static_cast<int>(generator.below(static_cast<int64_t>(shapes.size())));
      break;
    case 1:
      object.colour = static_cast<int>(generator.below(static_cast<int64_t>(colours.size())));
      break;
    case 2:
      object.size = 1 - object.size;
      break;
    default:
      if (wrong.relation >= 0) wrong.relation = static_cast<int>(generator.below(4));
  }
  return wrong;
}

}  // namespace palate::world
