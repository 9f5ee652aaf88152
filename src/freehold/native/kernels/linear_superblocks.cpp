// Products with q4_k, q5_k and q6_k. Each says how the codes of a step are put together, and how many sums a block
// has, which layout.hpp derives.
#include "kernels/dots.hpp"
#include "kernels/kernels.hpp"
#include "kernels/tiles.hpp"

namespace freehold::FREEHOLD_ISA {
namespace {

// The low four bits of a step, 0..7. Words shift bits from one byte into the next, which `and` takes away.
template <int Panels>
FREEHOLD_INLINE auto nibbles(const uint8_t* block, int64_t apart, int step) {
    using Bytes = typename Rows<Panels>::Bytes;
    const auto both = (typename Rows<Panels>::Words)Rows<Panels>::load_bytes(block + step % 4 * 32, apart);
    return (Bytes)(step < 4 ? both : both >> 4) & 15;
}

// Bits of a plane, moved from where they begin to where the codes' fifth bit is.
template <int Panels>
FREEHOLD_INLINE auto upper_bits(const uint8_t* plane, int64_t apart, int begin) {
    const auto bits = (typename Rows<Panels>::Words)Rows<Panels>::load_bytes(plane, apart);
    return (typename Rows<Panels>::Bytes)(begin < 4 ? bits << (4 - begin) : bits >> (begin - 4));
}

template <int Panels>
FREEHOLD_INLINE auto integers(const uint8_t* from, int64_t apart) {
    return to_floats((typename Rows<Panels>::Ints)Rows<Panels>::load_words(from, apart));
}

struct FourBits {
    static constexpr Superblock layout = q4_k_superblock;
    static constexpr int sums = 1;  // for a block

    template <int Panels>
    FREEHOLD_INLINE auto codes(const uint8_t* block, int64_t apart, int step) {
        return nibbles<Panels>(block, apart, step);
    }
};

struct FiveBits {
    static constexpr Superblock layout = q5_k_superblock;
    static constexpr int sums = sums_of_five_bits;

    template <int Panels>
    FREEHOLD_INLINE auto codes(const uint8_t* block, int64_t apart, int step) {
        const auto fifth = upper_bits<Panels>(block + q4_block_bytes, apart, step) & 0x10;
        return nibbles<Panels>(block, apart, step) | fifth;
    }
};

struct SixBits {
    static constexpr Superblock layout = q6_k_superblock;
    static constexpr int sums = 2;

    template <int Panels>
    FREEHOLD_INLINE auto codes(const uint8_t* block, int64_t apart, int step) {
        const uint8_t* plane = block + q4_block_bytes + step / 4 * 32;
        return nibbles<Panels>(block, apart, step) | (upper_bits<Panels>(plane, apart, 2 * (step % 4)) & 0x30);
    }
};

// Activations of the first token of a tile, from one block on.
struct Activations {
    const int8_t* codes;
    const float* scales;
    const float* sums;
    const int32_t* q6_k_starts;
    int64_t blocks;  // from one token to the next

    FREEHOLD_INLINE Activations at(const QuantisedRows& rows, int64_t token, int64_t block) {
        const int64_t cell = token * rows.blocks + block;
        return {rows.codes + cell * block_columns, rows.scales + cell, rows.sums + cell, rows.q6_k_starts + 2 * cell,
                rows.blocks};
    }
};

// Sums over one block of code * a, or of scale * (code - offset) * a where it has two groups: Tokens x Vectors x the rows
// of so many Panels in a vector. `scales` are those of the block's first group.
template <typename Codes, int Panels, int Tokens, int Vectors>
FREEHOLD_INLINE void block_totals(const uint8_t* block, const uint8_t* scales, int64_t panel_stride,
                                  const Activations& x, typename Rows<Panels>::Ints (&totals)[Tokens][Vectors]) {
    constexpr int steps = 8 / Codes::sums;
    constexpr bool two_groups = Codes::layout.groups > superblock_blocks;
#pragma GCC unroll 2
    for (int part = 0; part < Codes::sums; ++part) {
        NibbleDot<Panels> dots[Tokens][Vectors];
        for (int t = 0; t < Tokens; ++t)
            for (int v = 0; v < Vectors; ++v)
                dots[t][v] = NibbleDot<Panels>::start(two_groups ? x.q6_k_starts[2 * t * x.blocks + part] : 0);
#pragma GCC unroll 8
        for (int step = part * steps; step < (part + 1) * steps; ++step) {
            typename Rows<Panels>::Bytes codes[Vectors];
            for (int v = 0; v < Vectors; ++v)
                codes[v] = Codes::template codes<Panels>(block + v * Panels * panel_stride, panel_stride, step);
            for (int t = 0; t < Tokens; ++t) {
                const auto quad = load_quad<Panels>(x.codes + t * x.blocks * block_columns + step * 4);
                for (int v = 0; v < Vectors; ++v) dots[t][v].add(codes[v], quad);
            }
        }
        for (int v = 0; v < Vectors; ++v) {
            const uint8_t* from = scales + v * Panels * panel_stride + part * panel_rows;
            for (int t = 0; t < Tokens; ++t) {
                const auto total = two_groups ? dots[t][v].total(RowScales<Panels>::load(from, panel_stride))
                                              : dots[t][v].total();
                totals[t][v] = part == 0 ? total : totals[t][v] + total;
            }
        }
    }
}

template <typename Codes>
struct SuperblockKernel {
    static constexpr int tokens = tile_tokens;
    static constexpr int panels = tile_panels;
    static constexpr int panels_for_one = 1;
    static constexpr Superblock layout = Codes::layout;

    // To the chains of some vectors that hold so many Panels each.
    template <int Panels, int Tokens, int Vectors>
    FREEHOLD_INLINE void add_block(const uint8_t* superblock, int64_t panel_stride, int64_t index,
                                   const Activations& x, typename Rows<Panels>::Floats (&chains)[Tokens][Vectors]) {
        using Rows = FREEHOLD_ISA::Rows<Panels>;
        constexpr int64_t groups = layout.groups / superblock_blocks;
        typename Rows::Ints totals[Tokens][Vectors];
        block_totals<Codes, Panels>(superblock + layout.codes() + index * layout.block_bytes(),
                                    superblock + layout.scales() + index * groups * panel_rows, panel_stride, x,
                                    totals);
        for (int v = 0; v < Vectors; ++v) {
            const uint8_t* first = superblock + v * Panels * panel_stride;
            auto scale = Rows::load_half(reinterpret_cast<const uint16_t*>(first + layout.d()), panel_stride);
            if constexpr (groups == 1)
                scale *= integers<Panels>(first + layout.scales() + index * panel_rows, panel_stride);
            for (int t = 0; t < Tokens; ++t)
                chains[t][v] = multiply_add(to_floats(totals[t][v]), scale * x.scales[t * x.blocks], chains[t][v]);
            if constexpr (layout.has_minimums) {
                const auto m = Rows::load_half(reinterpret_cast<const uint16_t*>(first + layout.m()), panel_stride);
                const auto minimum =
                    -m * integers<Panels>(first + layout.minimums() + index * panel_rows, panel_stride);
                for (int t = 0; t < Tokens; ++t)
                    chains[t][v] = multiply_add(minimum, Rows::broadcast(x.sums[t * x.blocks]), chains[t][v]);
            }
        }
    }

    template <int Tokens, int Panels, bool Fetch>
    static void tile(const LinearJob& job, int64_t token, int64_t panel) {
        constexpr int in_vector = panels_in_vector(Panels);
        constexpr int vectors = Panels / in_vector;
        constexpr int64_t share = layout.bytes() / superblock_blocks;
        const int64_t superblocks = job.matrix->superblocks();
        const int64_t panel_stride = superblocks * layout.bytes();
        const auto* superblock = static_cast<const uint8_t*>(job.matrix->codes) + panel * panel_stride;
        typename Rows<in_vector>::Floats chains[Tokens][vectors] = {};
        for (int64_t block = 0; block < job.quantised.blocks; block += superblock_blocks) {
            for (int64_t index = 0; index < superblock_blocks; ++index) {
                if constexpr (Fetch)
                    for (int p = 0; p < Panels; ++p)
                        prefetch_ahead<share, Tokens, Panels>(superblock + p * panel_stride + index * share,
                                                              panel_stride);
                add_block<in_vector>(superblock, panel_stride, index,
                                     Activations::at(job.quantised, token, block + index), chains);
            }
            superblock += layout.bytes();
        }
        for (int t = 0; t < Tokens; ++t)
            for (int v = 0; v < vectors; ++v) store_outputs(job, token + t, panel + v * in_vector, chains[t][v]);
    }
};

}  // namespace

void linear_superblocks(const LinearJob& job, int64_t first_token, int64_t last_token, int64_t first_panel,
                        int64_t last_panel) {
    const auto run = [&](auto kernel) {
        run_tiles<decltype(kernel)>(job, first_token, last_token, first_panel, last_panel);
    };
    switch (job.matrix->format) {
        case Format::q4_k: return run(SuperblockKernel<FourBits>{});
        case Format::q5_k: return run(SuperblockKernel<FiveBits>{});
        default: return run(SuperblockKernel<SixBits>{});
    }
}

}  // namespace freehold::FREEHOLD_ISA
