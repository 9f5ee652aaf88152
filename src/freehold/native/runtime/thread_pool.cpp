#include "runtime/thread_pool.hpp"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "runtime/cores.hpp"

namespace freehold {
namespace {

using Work = std::function<void(int64_t, int)>;

// Between two kernels lie a few microseconds of Python; a worker that sleeps in each of those gaps wakes too late.
constexpr int spins_before_sleep = 4000;

void pause_processor() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

template <typename Value>
void wait_for_change(const std::atomic<Value>& value, Value old) {
    for (int spin = 0; spin < spins_before_sleep; ++spin) {
        if (value.load(std::memory_order_acquire) != old) return;
        pause_processor();
    }
    value.wait(old, std::memory_order_acquire);
}

class Pool {
public:
    explicit Pool(int count) : shares_(count) {
        workers_.reserve(count - 1);
        for (int worker = 1; worker < count; ++worker) workers_.emplace_back([this, worker] { serve(worker); });
    }

    ~Pool() {
        stopping_ = true;
        round_.fetch_add(1, std::memory_order_release);
        round_.notify_all();
        for (auto& worker : workers_) worker.join();
    }

    int size() const { return static_cast<int>(workers_.size()) + 1; }

    // Waits for pieces, not for workers: one that the system has not got round to waking is not missed.
    void run(int64_t pieces, int workers, const Work& work) {
        work_ = &work;
        unfinished_.store(pieces, std::memory_order_relaxed);
        workers = std::min(workers, size());
        loop_ = (loop_ + 1) % loops;
        for (int worker = 0; worker < workers; ++worker) {
            const auto first = static_cast<uint64_t>(pieces * worker / workers);
            const auto last = static_cast<uint64_t>(pieces * (worker + 1) / workers);
            shares_[worker].left.store(Left{loop_, first, last}, std::memory_order_release);
        }
        rules_.store(Rules{loop_, static_cast<uint32_t>(workers)}, std::memory_order_release);
        round_.fetch_add(1, std::memory_order_release);
        round_.notify_all();
        take_pieces(0);
        for (int64_t left = unfinished_.load(std::memory_order_acquire); left != 0;
             left = unfinished_.load(std::memory_order_acquire))
            wait_for_change(unfinished_, left);
    }

    static constexpr int64_t most_pieces = (1 << 20) - 1;

private:
    static constexpr uint64_t loops = 1 << 24;

    // The pieces that are left of a worker's share. With the number of their loop in one word, so that a worker which
    // comes late cannot take the piece of one loop by the rules of another.
    struct Left {
        uint64_t loop : 24, first : 20, last : 20;
    };
    struct Rules {
        uint64_t loop : 32, workers : 32;
    };
    struct alignas(64) Share {
        std::atomic<Left> left{Left{0, 0, 0}};
    };
    static_assert(sizeof(Left) == 8 && sizeof(Rules) == 8);

    void serve(int worker) {
        uint32_t seen = 0;
        for (;;) {
            wait_for_change(round_, seen);
            seen = round_.load(std::memory_order_acquire);
            if (stopping_) return;
            take_pieces(worker);
        }
    }

    // A worker's share is taken from its beginning, so that what it reads follows what it has read; when nothing is left
    // of it, the shares of others are taken from their ends.
    void take_pieces(int worker) {
        const Rules rules = rules_.load(std::memory_order_acquire);
        const auto workers = static_cast<int>(rules.workers);
        if (worker >= workers) return;
        for (int other = 0; other < workers; ++other) {
            Share& share = shares_[(worker + other) % workers];
            for (int64_t piece = take(share, rules.loop, other == 0); piece >= 0;
                 piece = take(share, rules.loop, other == 0)) {
                // A worker that holds a piece keeps run() from returning, so work_ is that of its own loop.
                (*work_)(piece, worker);
                if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished_.notify_one();
            }
        }
    }

    // The first or the last piece of what is left, or -1.
    static int64_t take(Share& share, uint64_t loop, bool first) {
        Left left = share.left.load(std::memory_order_acquire);
        while (left.loop == loop && left.first < left.last) {
            const Left rest = first ? Left{loop, left.first + 1u, left.last} : Left{loop, left.first, left.last - 1u};
            if (share.left.compare_exchange_weak(left, rest, std::memory_order_acq_rel))
                return static_cast<int64_t>(first ? left.first : rest.last);
        }
        return -1;
    }

    std::vector<std::thread> workers_;
    std::atomic<uint32_t> round_{0};
    std::vector<Share> shares_;
    std::atomic<Rules> rules_{Rules{0, 0}};
    uint64_t loop_ = 0;
    std::atomic<int64_t> unfinished_{0};
    std::atomic<bool> stopping_{false};
    const Work* work_ = nullptr;
};

// The pool and the lock that a loop holds while it uses it. Kept behind a pointer that is never freed at exit: the
// process may end while workers sleep.
struct Shared {
    std::mutex lock;
    std::unique_ptr<Pool> pool;
    std::atomic<int> size{0};
};

std::atomic<Shared*> current{nullptr};

// The child of a fork has none of the parent's workers, and perhaps a lock held by a thread that it has not got. It
// leaves the parent's pool where it is and starts another when it needs one.
void forget_pool() { current.store(nullptr, std::memory_order_release); }

Shared& shared() {
    static const bool registered = [] {
        pthread_atfork(nullptr, nullptr, forget_pool);
        return true;
    }();
    (void)registered;
    Shared* found = current.load(std::memory_order_acquire);
    if (found == nullptr) {
        auto* fresh = new Shared;
        if (current.compare_exchange_strong(found, fresh)) return *fresh;
        delete fresh;
    }
    return *found;
}

int checked(int64_t count, const char* name) {
    if (count < 1 || count > most_threads)
        throw std::invalid_argument(std::string(name) + " is " + std::to_string(count) + ", must be from 1 to " +
                                    std::to_string(most_threads));
    return static_cast<int>(count);
}

int threads_from_environment() {
    const char* text = std::getenv("FREEHOLD_THREADS");
    if (text == nullptr || *text == '\0') return static_cast<int>(std::min<int64_t>(available_cores(), most_threads));
    char* end = nullptr;
    const long long count = std::strtoll(text, &end, 10);
    if (*end != '\0')
        throw std::invalid_argument("FREEHOLD_THREADS is '" + std::string(text) +
                                    "', must be a whole number from 1 to " + std::to_string(most_threads));
    return checked(count, "FREEHOLD_THREADS");
}

// Call with the lock held.
Pool& started(Shared& state) {
    if (!state.pool) {
        const int count = threads_from_environment();
        state.pool = std::make_unique<Pool>(count);
        state.size.store(count, std::memory_order_release);
    }
    return *state.pool;
}

void run_on(Pool& pool, int64_t pieces, int workers, const Work& work) {
    if (pieces <= Pool::most_pieces) return pool.run(pieces, workers, work);
    for (int64_t first = 0; first < pieces; first += Pool::most_pieces)
        pool.run(std::min(Pool::most_pieces, pieces - first), workers,
                 [&](int64_t piece, int worker) { work(first + piece, worker); });
}

}  // namespace

void parallel_for(int64_t pieces, int workers, const Work& work) {
    if (pieces > 1 && workers > 1) {
        Shared& state = shared();
        std::unique_lock lock(state.lock, std::try_to_lock);
        if (lock.owns_lock()) {
            Pool& pool = started(state);
            if (pool.size() > 1) return run_on(pool, pieces, workers, work);
        }
    }
    for (int64_t piece = 0; piece < pieces; ++piece) work(piece, 0);
}

void parallel_ranges(int64_t items, int64_t grain, const std::function<void(int64_t, int64_t)>& work) {
    if (items == 0) return;
    // A few ranges per thread even out cores of unequal speed.
    const int64_t wanted = std::min<int64_t>(items / std::max<int64_t>(grain, 1), int64_t{4} * threads());
    const int64_t ranges = std::max<int64_t>(wanted, 1);
    parallel_for(ranges, most_threads, [&](int64_t range, int) {
        work(items * range / ranges, items * (range + 1) / ranges);
    });
}

int threads() {
    Shared& state = shared();
    if (const int size = state.size.load(std::memory_order_acquire)) return size;
    const std::lock_guard lock(state.lock);
    return started(state).size();
}

void set_threads(int64_t count) {
    const int size = checked(count, "threads");
    Shared& state = shared();
    const std::lock_guard lock(state.lock);
    state.pool = std::make_unique<Pool>(size);
    state.size.store(size, std::memory_order_release);
}

}  // namespace freehold
