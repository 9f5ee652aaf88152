#include "kernels/dots.hpp"
#include "kernels/kernels.hpp"
#include "kernels/tiles.hpp"

namespace freehold::FREEHOLD_ISA {
namespace {

struct HalfScale {
    using Element = uint16_t;
    template <int Panels>
    FREEHOLD_INLINE auto load(const Element* from, int64_t apart) { return Rows<Panels>::load_half(from, apart); }
};
struct FloatScale {
    using Element = float;
    template <int Panels>
    FREEHOLD_INLINE auto load(const Element* from, int64_t apart) { return Rows<Panels>::load(from, apart); }
};

// 2^(e - 128): the exponent goes to its place, which makes it 2^(e - 127), or 0 where it has to be subnormal.
struct PowerScale {
    using Element = uint8_t;
    template <int Panels>
    FREEHOLD_INLINE auto load(const Element* from, int64_t apart) {
        using Words = typename Rows<Panels>::Words;
        const Words exponent = Rows<Panels>::load_words(from, apart);
        const Words subnormal = (Words)(exponent == 0) & 0x00400000u;
        return bits<typename Rows<Panels>::Floats>(exponent << 23 | subnormal) * 0.5f;
    }
};

struct PlainNibbles {
    template <typename Bytes>
    FREEHOLD_INLINE Bytes codes(Bytes nibbles) {
        return nibbles;
    }
};
struct Float4Nibbles {
    template <typename Bytes>
    FREEHOLD_INLINE Bytes codes(Bytes nibbles) {
        return float4_codes(nibbles);
    }
};

// The integer dot products of one block: Tokens x Vectors x the rows of so many Panels in a vector.
template <typename Meaning>
struct Nibbles {
    static constexpr int64_t block_bytes = q4_block_bytes;

    FREEHOLD_INLINE int32_t offset(const LinearJob& job) { return job.matrix->offset; }

    template <int Tokens, int Vectors, int Panels>
    FREEHOLD_INLINE void dot(const uint8_t* codes, int64_t panel_stride, const int8_t* x, int64_t x_stride,
                             const int32_t* starts, int64_t starts_stride,
                             typename Rows<Panels>::Ints (&totals)[Tokens][Vectors]) {
        using Bytes = typename Rows<Panels>::Bytes;
        using Words = typename Rows<Panels>::Words;
        NibbleDot<Panels> dots[Tokens][Vectors];
        for (int t = 0; t < Tokens; ++t)
            for (int v = 0; v < Vectors; ++v) dots[t][v] = NibbleDot<Panels>::start(starts[t * starts_stride]);
#pragma GCC unroll 4
        for (int step = 0; step < 4; ++step) {
            Bytes low[Vectors], high[Vectors];
            for (int v = 0; v < Vectors; ++v) {
                const Bytes both = Rows<Panels>::load_bytes(codes + v * Panels * panel_stride + step * 32, panel_stride);
                low[v] = Meaning::codes(both & 15);
                high[v] = Meaning::codes((Bytes)((Words)both >> 4) & 15);
            }
            for (int t = 0; t < Tokens; ++t) {
                const auto first = load_quad<Panels>(x + t * x_stride + step * 4);
                for (int v = 0; v < Vectors; ++v) dots[t][v].add(low[v], first);
                const auto second = load_quad<Panels>(x + t * x_stride + step * 4 + 16);
                for (int v = 0; v < Vectors; ++v) dots[t][v].add(high[v], second);
            }
        }
        for (int t = 0; t < Tokens; ++t)
            for (int v = 0; v < Vectors; ++v) totals[t][v] = dots[t][v].total();
    }
};

struct SignedBytes8 {
    static constexpr int64_t block_bytes = q8_block_bytes;

    FREEHOLD_INLINE int32_t offset(const LinearJob&) { return byte_offset; }

    template <int Tokens, int Vectors, int Panels>
    FREEHOLD_INLINE void dot(const uint8_t* codes, int64_t panel_stride, const int8_t* x, int64_t x_stride,
                             const int32_t* starts, int64_t starts_stride,
                             typename Rows<Panels>::Ints (&totals)[Tokens][Vectors]) {
        ByteDot<Panels> dots[Tokens][Vectors];
        for (int t = 0; t < Tokens; ++t)
            for (int v = 0; v < Vectors; ++v) dots[t][v] = ByteDot<Panels>::start(starts[t * starts_stride]);
#pragma GCC unroll 8
        for (int step = 0; step < 8; ++step) {
            ByteCodes<Panels> weight[Vectors];
            for (int v = 0; v < Vectors; ++v)
                weight[v] = ByteCodes<Panels>::load(codes + v * Panels * panel_stride + step * 32, panel_stride);
            for (int t = 0; t < Tokens; ++t) {
                const auto quad = load_quad<Panels>(x + t * x_stride + step * 4);
                for (int v = 0; v < Vectors; ++v) dots[t][v].add(weight[v], quad);
            }
        }
        for (int t = 0; t < Tokens; ++t)
            for (int v = 0; v < Vectors; ++v) totals[t][v] = dots[t][v].total();
    }
};

// What the dots of a tile begin with, -offset * S, for some blocks at a time: made one by one they would take the
// multipliers' time, which the dots have a use for.
template <int Tokens>
struct Starts {
    static constexpr int64_t blocks = 64;
    int32_t values[Tokens][blocks];

    void make(const int32_t* sums, int64_t apart, int64_t count, int32_t offset) {
        for (int t = 0; t < Tokens; ++t)
            for (int64_t block = 0; block < count; ++block)
                values[t][block] = scaled_sums(sums[t * apart + block], -offset);
    }
};

template <typename Codes, typename Scale, bool HasMinimum>
struct QuantisedKernel {
    static constexpr int tokens = tile_tokens;
    static constexpr int panels = tile_panels;
    static constexpr int panels_for_one = 1;

    template <int Tokens, int Panels, bool Fetch>
    static void tile(const LinearJob& job, int64_t token, int64_t panel) {
        constexpr int in_vector = panels_in_vector(Panels);
        constexpr int vectors = Panels / in_vector;
        using Rows = FREEHOLD_ISA::Rows<in_vector>;
        const int64_t blocks = job.quantised.blocks;
        const int64_t panel_stride = blocks * Codes::block_bytes;
        const auto* codes = static_cast<const uint8_t*>(job.matrix->codes) + panel * panel_stride;
        using Element = typename Scale::Element;
        const auto* scales = static_cast<const Element*>(job.matrix->scales) + panel * blocks * panel_rows;
        const auto* minimums = static_cast<const Element*>(job.matrix->minimums);
        if constexpr (HasMinimum) minimums += panel * blocks * panel_rows;
        const int8_t* x = job.quantised.codes + token * blocks * block_columns;
        const float* x_scales = job.quantised.scales + token * blocks;
        const float* x_sums = job.quantised.sums + token * blocks;
        const int32_t* x_code_sums = job.quantised.code_sums + token * blocks;

        typename Rows::Floats chains[Tokens][vectors] = {};
        Starts<Tokens> starts;
        for (int64_t first = 0; first < blocks; first += starts.blocks) {
            const int64_t last = blocks - first < starts.blocks ? blocks : first + starts.blocks;
            starts.make(x_code_sums + first, blocks, last - first, Codes::offset(job));
            for (int64_t block = first; block < last; ++block) {
                if constexpr (Fetch) {
                    for (int p = 0; p < Panels; ++p)
                        prefetch_ahead<Codes::block_bytes, Tokens, Panels>(
                            codes + p * panel_stride + block * Codes::block_bytes, panel_stride);
                    if constexpr (Panels > 1) {
                        prefetch_beside<Panels>(scales, block, blocks);
                        if constexpr (HasMinimum) prefetch_beside<Panels>(minimums, block, blocks);
                    }
                }
                typename Rows::Ints totals[Tokens][vectors];
                Codes::template dot<Tokens, vectors, in_vector>(
                    codes + block * Codes::block_bytes, panel_stride, x + block * block_columns,
                    blocks * block_columns, &starts.values[0][block - first], starts.blocks, totals);
                for (int v = 0; v < vectors; ++v) {
                    const int64_t at = (v * in_vector * blocks + block) * panel_rows;
                    const int64_t apart = blocks * panel_rows * sizeof(Element);
                    const auto scale = Scale::template load<in_vector>(scales + at, apart);
                    for (int t = 0; t < Tokens; ++t)
                        chains[t][v] = multiply_add(to_floats(totals[t][v]), scale * x_scales[t * blocks + block],
                                                    chains[t][v]);
                    if constexpr (HasMinimum) {
                        const auto minimum = Scale::template load<in_vector>(minimums + at, apart);
                        for (int t = 0; t < Tokens; ++t)
                            chains[t][v] =
                                multiply_add(minimum, Rows::broadcast(x_sums[t * blocks + block]), chains[t][v]);
                    }
                }
            }
        }
        for (int t = 0; t < Tokens; ++t)
            for (int v = 0; v < vectors; ++v) store_outputs(job, token + t, panel + v * in_vector, chains[t][v]);
    }
};

}  // namespace

void linear_quantised(const LinearJob& job, int64_t first_token, int64_t last_token, int64_t first_panel,
                      int64_t last_panel) {
    const auto run = [&](auto kernel) {
        run_tiles<decltype(kernel)>(job, first_token, last_token, first_panel, last_panel);
    };
    const auto with_scale = [&](auto scale) {
        using Scale = decltype(scale);
        const bool minimum = job.matrix->minimums != nullptr;
        if (job.matrix->format == Format::q4)
            minimum ? run(QuantisedKernel<Nibbles<PlainNibbles>, Scale, true>{})
                    : run(QuantisedKernel<Nibbles<PlainNibbles>, Scale, false>{});
        else if (minimum)
            run(QuantisedKernel<SignedBytes8, Scale, true>{});
        else
            run(QuantisedKernel<SignedBytes8, Scale, false>{});
    };
    if (job.matrix->format == Format::mxfp4)
        return run(QuantisedKernel<Nibbles<Float4Nibbles>, PowerScale, false>{});
    job.matrix->half_scales ? with_scale(HalfScale{}) : with_scale(FloatScale{});
}

}  // namespace freehold::FREEHOLD_ISA
