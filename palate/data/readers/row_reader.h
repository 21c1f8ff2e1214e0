// Rows of a source, read in their order, decoded and cut by several threads while the rows before them are being encoded.
#pragma once

#include <cstdint>
#include <deque>
#include <exception>
#include <future>
#include <vector>

#include "palate/data/framing/framing.h"

namespace palate {

struct ReadRow {
  PairRecord record;  // without the pictures' bytes
  Views views;
  bool example = false;      // false: a tie or a row without a label (record.kind), or `error`
  std::exception_ptr error;  // what made it unreadable
};

class RowReader {
 public:
  // From row `first` on. `source` and `framing` are used by other threads until this is gone.
  RowReader(PairSource& source, Framing& framing, int64_t first);
  ~RowReader();
  RowReader(const RowReader&) = delete;

  ReadRow take();  // the next row, of those that are left

 private:
  void read_ahead();
  std::vector<ReadRow> read(int64_t first, int64_t end) const;

  PairSource& source_;
  Framing& framing_;
  int64_t next_, threads_, window_;
  std::deque<ReadRow> ready_;
  std::future<std::vector<ReadRow>> ahead_;
};

}  // namespace palate
