// What the machine can do at best: read memory, multiply and add. Compiled once per instruction set by probing.py.
//
// The multiply-adds run on registers alone. An empty assembler statement makes the compiler take the operands for new
// ones every time, so that it neither hoists the products out of the loop nor folds them; it costs no instruction.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

#include <sys/mman.h>

#if defined(__x86_64__)
#include <immintrin.h>
#else
#include <arm_neon.h>
#endif

namespace {

using Clock = std::chrono::steady_clock;

// Enough independent sums to hide the latency of a multiply-add on two ports.
constexpr int chains = 10;
// Products of 4-bit codes and signed bytes that fit into 16 bits before they must be widened.
constexpr int narrow_steps = 8;
constexpr long rounds = 1 << 16;

#if defined(__AVX512F__)
using Bytes = __m512i;
using Floats = __m512;
#define FRESH(value) asm volatile("" : "+v"(value))
#elif defined(__AVX2__)
using Bytes = __m256i;
using Floats = __m256;
#define FRESH(value) asm volatile("" : "+x"(value))
#else
using Bytes = int8x16_t;
using Floats = float32x4_t;
#define FRESH(value) asm volatile("" : "+w"(value))
#endif

// One step of all chains; how many multiply-adds of a byte with a byte a step of one chain is.
#if defined(__AVX512VNNI__)
constexpr int byte_products = 64;
inline Bytes step(Bytes sum, Bytes a, Bytes b) { return _mm512_dpbusd_epi32(sum, a, b); }
#elif defined(__AVXVNNI__)
constexpr int byte_products = 32;
inline Bytes step(Bytes sum, Bytes a, Bytes b) { return _mm256_dpbusd_avx_epi32(sum, a, b); }
#elif defined(__AVX512BW__)
constexpr int byte_products = 64 * narrow_steps;
inline Bytes step(Bytes sum, Bytes a, Bytes b) {
    Bytes narrow = _mm512_maddubs_epi16(a, b);
    for (int i = 1; i < narrow_steps; ++i) {
        FRESH(b);
        narrow = _mm512_add_epi16(narrow, _mm512_maddubs_epi16(a, b));
    }
    return _mm512_add_epi32(sum, _mm512_madd_epi16(narrow, _mm512_set1_epi16(1)));
}
#elif defined(__AVX2__)
constexpr int byte_products = 32 * narrow_steps;
inline Bytes step(Bytes sum, Bytes a, Bytes b) {
    Bytes narrow = _mm256_maddubs_epi16(a, b);
    for (int i = 1; i < narrow_steps; ++i) {
        FRESH(b);
        narrow = _mm256_add_epi16(narrow, _mm256_maddubs_epi16(a, b));
    }
    return _mm256_add_epi32(sum, _mm256_madd_epi16(narrow, _mm256_set1_epi16(1)));
}
#else
constexpr int byte_products = 16;
inline Bytes step(Bytes sum, Bytes a, Bytes b) {
    return vreinterpretq_s8_s32(vdotq_s32(vreinterpretq_s32_s8(sum), a, b));
}
#endif

constexpr int float_products = sizeof(Floats) / sizeof(float);

inline Floats step(Floats sum, Floats a, Floats b) {
#if defined(__AVX512F__)
    return _mm512_fmadd_ps(a, b, sum);
#elif defined(__AVX2__)
    return _mm256_fmadd_ps(a, b, sum);
#else
    return vfmaq_f32(sum, a, b);
#endif
}

template <typename Vector>
void multiply_add() {
    Vector sums[chains] = {}, a = {}, b = {};
    for (Vector& sum : sums) FRESH(sum);  // else they would be equal, and one chain do for all
    for (long round = 0; round < rounds; ++round) {
        FRESH(a);
        FRESH(b);
        for (Vector& sum : sums) sum = step(sum, a, b);
    }
    for (Vector& sum : sums) FRESH(sum);
}

// Seconds that the slowest thread takes for its share, all having begun together.
double together(int threads, const std::function<void(int)>& work) {
    std::atomic<int> waiting{threads};
    std::vector<double> seconds(threads);
    std::vector<std::thread> running;
    for (int thread = 0; thread < threads; ++thread) {
        running.emplace_back([&, thread] {
            waiting.fetch_sub(1);
            while (waiting.load() > 0) std::this_thread::yield();
            const auto started = Clock::now();
            work(thread);
            seconds[thread] = std::chrono::duration<double>(Clock::now() - started).count();
        });
    }
    for (std::thread& one : running) one.join();
    return *std::max_element(seconds.begin(), seconds.end());
}

template <typename Vector>
double products_per_second(int threads, int repeats, int products) {
    double best = 0;
    for (int repeat = 0; repeat < repeats; ++repeat) {
        const double seconds = together(threads, [](int) { multiply_add<Vector>(); });
        best = std::max(best, double(threads) * rounds * chains * products / seconds);
    }
    return best;
}

}  // namespace

extern "C" double byte_products_per_second(int threads, int repeats) {
    return products_per_second<Bytes>(threads, repeats, byte_products);
}

extern "C" double float_products_per_second(int threads, int repeats) {
    return products_per_second<Floats>(threads, repeats, float_products);
}

// Every thread sums up a share of its own, which it has written to first. Negative where there is no memory.
extern "C" double bytes_read_per_second(std::size_t bytes, int threads, int repeats) {
    constexpr std::size_t huge_page = 2 << 20;
    const std::size_t words = bytes / threads / huge_page * huge_page / sizeof(std::uint64_t);
    const std::size_t whole = words * threads * sizeof(std::uint64_t);
    auto* memory = static_cast<std::uint64_t*>(std::aligned_alloc(huge_page, whole));
    if (memory == nullptr) return -1;
#if defined(MADV_HUGEPAGE)
    madvise(memory, whole, MADV_HUGEPAGE);
#endif
    std::vector<std::uint64_t> sums(threads * 16);
    together(threads, [&](int thread) { std::fill_n(memory + thread * words, words, 1); });
    double best = 0;
    for (int repeat = 0; repeat < repeats; ++repeat) {
        const double seconds = together(threads, [&](int thread) {
            const std::uint64_t* share = memory + thread * words;
            std::uint64_t sum = 0;
            for (std::size_t i = 0; i < words; ++i) sum += share[i];
            sums[thread * 16] = sum;
        });
        if (sums[0] != words) break;
        best = std::max(best, double(whole) / seconds);
    }
    std::free(memory);
    return best;
}
