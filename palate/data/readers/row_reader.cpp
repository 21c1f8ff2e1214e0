#include "palate/data/readers/row_reader.h"

#include <ATen/Parallel.h>
#include <omp.h>

#include <algorithm>
#include <atomic>

#include "palate/core/error.h"

namespace palate {
namespace {

constexpr int64_t window_bytes = int64_t{64} << 20;  // of the views of one window; two are there at a time

// Each row's outcome is its own, so that errors come in the order of the rows.
template <class Work>
void guarded(ReadRow& row, const Work& work) {
  try {
    work();
  } catch (...) {
    row.error = std::current_exception();
    row.example = false;
  }
}

}  // namespace

RowReader::RowReader(PairSource& source, Framing& framing, int64_t first)
    : source_(source),
      framing_(framing),
      next_(first),
      threads_(at::get_num_threads()),
      window_(std::clamp<int64_t>(window_bytes / framing.row_bytes(), 1, 8 * threads_)) {
  read_ahead();
}

RowReader::~RowReader() {
  if (ahead_.valid()) ahead_.wait();
}

void RowReader::read_ahead() {
  const int64_t end = std::min(source_.rows(), next_ + window_);
  if (next_ == end) return;
  ahead_ = std::async(std::launch::async, [this, first = next_, end] { return read(first, end); });
  next_ = end;
}

ReadRow RowReader::take() {
  if (ready_.empty()) {
    check(ahead_.valid(), "[row reader] no rows are left");
    for (ReadRow& row : ahead_.get()) ready_.push_back(std::move(row));
    read_ahead();
  }
  ReadRow row = std::move(ready_.front());
  ready_.pop_front();
  return row;
}

std::vector<ReadRow> RowReader::read(int64_t first, int64_t end) const {
  std::vector<ReadRow> rows(static_cast<size_t>(end - first));
  for (size_t i = 0; i < rows.size(); ++i) {
    guarded(rows[i], [&] { rows[i].example = source_.read(first + static_cast<int64_t>(i), rows[i].record); });
  }
  std::atomic<size_t> next{0};
  const auto work = [&] {
    at::internal::lazy_init_num_threads();  // which would undo the next line
    omp_set_num_threads(1);                 // of this thread's own tensor operations
    for (size_t i = next++; i < rows.size(); i = next++) {
      ReadRow& row = rows[i];
      if (row.example) guarded(row, [&] { row.views = framing_.views(row.record); });
      row.record.win = row.record.lose = {};
    }
  };
  std::vector<std::future<void>> helpers;
  for (int64_t i = 1; i < std::min(threads_, end - first); ++i) helpers.push_back(std::async(std::launch::async, work));
  work();
  for (auto& helper : helpers) helper.get();
  return rows;
}

}  // namespace palate
