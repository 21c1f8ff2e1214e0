// The [objective] table: four names, and the constants of the members that they choose, all in one table.
#include <map>

#include "palate/objective/objective.h"

namespace palate {
namespace {

// One value of any kind that a field can have.
struct Value {
  bool flag = false;
  int64_t integer = 0;
  double number = 0;
  std::string text;
  std::vector<std::string> texts;
  std::vector<int64_t> integers;
  std::vector<double> numbers;
};

// Carries constants from one object to another through their visit(), so that members need no clone().
class Carry : public Fields {
 public:
  enum class Way { take, put };
  explicit Carry(Way way) : way_(way) {}
  void turn() { way_ = Way::put; }

  void operator()(const char* key, bool& value, const char*, const Limits&) override { move(value, at(key).flag); }
  void operator()(const char* key, int64_t& value, const char*, const Limits&) override { move(value, at(key).integer); }
  void operator()(const char* key, double& value, const char*, const Limits&) override { move(value, at(key).number); }
  void operator()(const char* key, std::string& value, const char*, const Limits&) override { move(value, at(key).text); }
  void operator()(const char* key, std::vector<std::string>& value, const char*, const Limits&) override { move(value, at(key).texts); }
  void operator()(const char* key, std::vector<int64_t>& value, const char*, const Limits&) override { move(value, at(key).integers); }
  void operator()(const char* key, std::vector<double>& value, const char*, const Limits&) override { move(value, at(key).numbers); }
  void require(bool, const std::string&) override {}

 protected:
  void begin(const char* key, const char*) override { path_ += std::string(key) + "."; }
  void end() override { path_.erase(path_.rfind('.', path_.size() - 2) + 1); }

 private:
  Value& at(const char* key) { return values_[path_ + key]; }
  template <class T>
  void move(T& field, T& kept) {
    (way_ == Way::take ? kept : field) = way_ == Way::take ? field : kept;
  }
  Way way_;
  std::string path_;
  std::map<std::string, Value> values_;
};

// A member of its own for this config, of the kind that `name` says: configs are copied freely, and one must not change the
// constants of another. Constants survive unless the name has changed.
template <class Member>
void rebuild(std::shared_ptr<Member>& member, std::string& built, const std::string& name,
             std::shared_ptr<Member> (*make)(const std::string&)) {
  auto fresh = make(name);
  if (member && built == name) {
    Carry carry(Carry::Way::take);
    member->visit(carry);
    carry.turn();
    fresh->visit(carry);
  }
  member = std::move(fresh);
  built = name;
}

std::vector<std::string> names(const std::vector<RegistryLine>& lines) {
  std::vector<std::string> all;
  for (const auto& line : lines) all.push_back(line.name);
  return all;
}

template <class Member>
void visit_member(Fields& f, std::shared_ptr<Member>& member, std::string& built, const std::string& name,
                  const std::vector<RegistryLine>& lines, std::shared_ptr<Member> (*make)(const std::string&)) {
  for (const auto& line : lines) {
    if (line.name != name) continue;  // a name that is not in the table has been reported by the visitor
    rebuild(member, built, name, make);
    member->visit(f);
  }
}

}  // namespace

void ObjectiveConfig::build() {
  rebuild(loss_member, built_loss, loss, make_loss);
  rebuild(error_space_member, built_error_space, error_space, make_error_space);
  rebuild(timestep_member, built_timesteps, timesteps, make_timestep_policy);
}

void ObjectiveConfig::visit(Fields& f) {
  f("feedback", feedback, "what a training example is: a pair of a preferred and a rejected picture", {.choices = {"pair"}});
  f("loss", loss, "which loss; its constants are keys of this table too (palate list losses)", {.choices = names(losses())});
  visit_member(f, loss_member, built_loss, loss, losses(), make_loss);
  f("error_space", error_space, "where errors are measured (palate list error-spaces)", {.choices = names(error_spaces())});
  visit_member(f, error_space_member, built_error_space, error_space, error_spaces(), make_error_space);
  f("timesteps", timesteps, "which timesteps are drawn (palate list timesteps)", {.choices = names(timestep_policies())});
  visit_member(f, timestep_member, built_timesteps, timesteps, timestep_policies(), make_timestep_policy);
  f("reference", reference, "where the reference's errors come from (palate list references)", {.choices = names(references())});
  f("reference_draws", reference_draws, "cached reference: draws of (t, noise) kept for each pair; a pair's later draws repeat them",
    {.min = 1});
  f("snr_gamma", snr_gamma, "min-SNR weights of timesteps (2303.09556), 5 in the paper; 0: all timesteps weigh the same",
    {.min = 0, .aliases = {"min_snr_gamma"}});
  f("noise_offset", noise_offset,
    "a random constant of this size is added to each channel's noise, which lets pictures be darker or lighter as a whole; 0: off",
    {.min = 0});
  f.require(
      !loss_member || !loss_member->needs_reference() || reference != "none",
      "objective.reference is none, but the loss '" + loss + "' compares with a reference: choose adapters_off, frozen_copy or cached");
}

}  // namespace palate
