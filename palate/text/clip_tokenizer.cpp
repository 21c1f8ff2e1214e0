#include "palate/text/clip_tokenizer.h"

#include <algorithm>

#include "palate/core/error.h"
#include "palate/text/byte_pair.h"
#include "palate/text/tokenizer_files.h"
#include "palate/text/unicode.h"

namespace palate {
namespace {

const std::string word_end = "</w>";

struct Found {
  size_t at = std::string_view::npos;
  const AddedToken* token = nullptr;
};

// The leftmost of `tokens` in the text, and of those that start there the longest.
Found find_first(std::string_view text, size_t from, const std::vector<AddedToken>& tokens) {
  Found best;
  for (const auto& token : tokens) {
    const size_t at = text.find(token.content, from);
    const bool better =
        at != std::string_view::npos && (at < best.at || (at == best.at && token.content.size() > best.token->content.size()));
    if (better) best = {at, &token};
  }
  return best;
}

// Calls use_text on what lies between the tokens and use_token on the tokens, in order.
template <class UseText, class UseToken>
void split_at(std::string_view text, const std::vector<AddedToken>& tokens, const UseText& use_text, const UseToken& use_token) {
  size_t at = 0;
  while (at < text.size()) {
    const Found found = find_first(text, at, tokens);
    const size_t end = std::min(found.at, text.size());
    if (end > at) use_text(text.substr(at, end - at));
    if (!found.token) return;
    use_token(found.token->id);
    at = end + found.token->content.size();
  }
}

}  // namespace

struct ClipTokenizer::State {
  explicit State(TokenizerFiles from)
      : files(std::move(from)), merges(files.vocabulary, files.merges, word_end, files.unknown, files.merges_origin) {
    int64_t largest = 0;
    for (const auto& [token, id] : files.vocabulary) largest = std::max(largest, id);
    for (const auto& token : files.added) largest = std::max(largest, token.id);
    size = largest + 1;
    for (const auto& [token, id] : files.vocabulary) texts[id] = token;
    for (const auto& token : files.added) {
      texts[token.id] = token.content;
      if (token.normalized) {
        in_normalized.push_back({clip_normalize(valid_utf8(token.content)), token.id, true});
      } else {
        in_text.push_back(token);
      }
    }
    files.merges.clear();
    files.merges.shrink_to_fit();
  }

  TokenizerFiles files;
  BytePair merges;
  std::unordered_map<int64_t, std::string> texts;
  std::vector<AddedToken> in_text, in_normalized;
  std::unordered_map<int64_t, std::vector<int64_t>> words;  // of add_word: a key below 0 -> its ids
  int64_t size = 0;
};

ClipTokenizer::ClipTokenizer(const std::filesystem::path& folder) : state_(std::make_unique<State>(read_tokenizer_files(folder))) {}
ClipTokenizer::~ClipTokenizer() = default;
ClipTokenizer::ClipTokenizer(ClipTokenizer&&) noexcept = default;

std::vector<int64_t> ClipTokenizer::tokens(std::string_view text) const {
  std::vector<int64_t> ids;
  const auto keep = [&](int64_t id) {
    const auto many = state_->words.find(id);
    if (many == state_->words.end()) {
      ids.push_back(id);
    } else {
      ids.insert(ids.end(), many->second.begin(), many->second.end());
    }
  };
  const auto use_plain = [&](std::string_view normalized) {
    for (const auto piece : clip_pieces(normalized)) state_->merges.encode(piece, ids);
  };
  const std::string clean = valid_utf8(text);
  split_at(
      clean, state_->in_text, [&](std::string_view part) { split_at(clip_normalize(part), state_->in_normalized, use_plain, keep); }, keep);
  return ids;
}

std::vector<int64_t> ClipTokenizer::encode(std::string_view text, int64_t length) const {
  if (length == 0) length = max_length();
  check<UsageError>(length >= 2, "tokenizer: a length of ", length, " has no room for start and end: at least 2 is needed");
  return framed(tokens(text), 0, length);
}

std::vector<int64_t> ClipTokenizer::framed(const std::vector<int64_t>& ids, size_t from, int64_t length) const {
  const auto begin = ids.begin() + static_cast<std::ptrdiff_t>(std::min(from, ids.size()));
  std::vector<int64_t> row = {start_id()};
  row.insert(row.end(), begin, begin + std::min<std::ptrdiff_t>(ids.end() - begin, length - 2));
  row.push_back(end_id());
  row.resize(static_cast<size_t>(length), pad_id());
  return row;
}

void ClipTokenizer::add_word(const std::string& word, const std::vector<int64_t>& ids) {
  const std::string found = clip_normalize(valid_utf8(word));
  check<UsageError>(!found.empty() && !ids.empty(), "the new word '", word, "' is blank: give it a name, for example <my-dog>");
  const auto same = [&](const AddedToken& token) { return token.content == found || token.content == word; };
  const bool known = std::any_of(state_->in_text.begin(), state_->in_text.end(), same) ||
                     std::any_of(state_->in_normalized.begin(), state_->in_normalized.end(), same) ||
                     state_->files.vocabulary.count(found) > 0;
  check<UsageError>(!known, "'", word, "' is a token of this model already: choose another word, for example <my-", word,
                    "> (--embedding FILE=NAME, text.word)");
  const int64_t key = -1 - static_cast<int64_t>(state_->words.size());  // an id that no vocabulary has
  state_->in_normalized.push_back({found, key, true});
  state_->words[key] = ids;
}

void ClipTokenizer::forget_word(const std::string& word) {
  const std::string found = clip_normalize(valid_utf8(word));
  std::erase_if(state_->in_normalized,
                [&](const AddedToken& token) { return token.content == found && state_->words.count(token.id) > 0; });
}

std::string ClipTokenizer::decode(const std::vector<int64_t>& ids) const {
  std::string bytes;
  for (const int64_t id : ids) {
    const auto found = state_->texts.find(id);
    check<UsageError>(found != state_->texts.end(), "tokenizer: no token has the id ", id, " (the vocabulary holds ", size_t(state_->size),
                      ")");
    bytes += symbols_to_bytes(found->second);
  }
  std::string text;
  const std::string clean = valid_utf8(bytes);
  for (size_t at = 0; at < clean.size();) {
    const bool ends = clean.compare(at, word_end.size(), word_end) == 0;
    text += ends ? ' ' : clean[at];
    at += ends ? word_end.size() : 1;
  }
  const size_t first = text.find_first_not_of(' '), last = text.find_last_not_of(' ');
  return first == std::string::npos ? "" : text.substr(first, last - first + 1);
}

int64_t ClipTokenizer::max_length() const { return state_->files.max_length; }
int64_t ClipTokenizer::start_id() const { return state_->files.start; }
int64_t ClipTokenizer::end_id() const { return state_->files.end; }
int64_t ClipTokenizer::pad_id() const { return state_->files.pad; }
int64_t ClipTokenizer::vocabulary_size() const { return state_->size; }

}  // namespace palate
