// A small pool of threads for loops whose pieces are independent of each other.
#pragma once

#include <cstdint>
#include <functional>

namespace freehold {

// Calls work(piece, worker) for every piece in [0, pieces), spread over the pool, and returns when all are done.
//
// Every worker begins with a share of neighbouring pieces and then takes from what others have left of theirs, so which
// worker runs which piece is left to chance: results may depend on the piece only. worker is in [0, workers) and names
// scratch memory; the pool may have more threads, and by the time of the call more than threads() said. The work must
// not throw. When the pool is taken by another thread the caller runs all pieces itself.
void parallel_for(int64_t pieces, int workers, const std::function<void(int64_t piece, int worker)>& work);

// Over [0, items) in ranges of at least `grain` items: work(first, last).
void parallel_ranges(int64_t items, int64_t grain, const std::function<void(int64_t, int64_t)>& work);

// Threads that take part in a loop, the caller included. Starts the pool: FREEHOLD_THREADS, or else the physical cores
// that this process may use. Throws std::invalid_argument for a value out of range.
int threads();

// Replaces the pool by one of `count` threads (1 to most_threads).
void set_threads(int64_t count);

inline constexpr int64_t most_threads = 1024;

}  // namespace freehold
