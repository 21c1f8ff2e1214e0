// What CLIP's tokenizer does to text before any merge: UTF-8, normal form, white space, lower case, and the cut into pieces.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace palate {

// Bytes that are not UTF-8 become U+FFFD, so that every caption of a data set can be encoded.
std::string valid_utf8(std::string_view text);

// NFC, each run of white space as one space, lower case one code point at a time (no final sigma): the normaliser of
// CLIPTokenizerFast. `text` must be valid UTF-8. Marks that are newer than Unicode 9 are ordered by their class here,
// and left where they stand by the reference library's older tables.
std::string clip_normalize(std::string_view text);

// The matches, in order, of CLIP's pattern in normalised text (views into it):
//   <|startoftext|> | <|endoftext|> | 's | 't | 're | 've | 'm | 'll | 'd | [letter]+ | [number] | [^space letter number]+
// where a marker that gets here is plain text and comes apart as "<|", its letters, "|>".
std::vector<std::string_view> clip_pieces(std::string_view normalized);

}  // namespace palate
