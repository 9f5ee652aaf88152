// Paged latent attention: all heads read the same keys, whose first features are the values.
//
// Positions are taken in tiles of 16 that begin at multiples of 16 whatever the cache's blocks, and every tile passes
// through the softmax of each query by itself: where it raises the maximum, what was summed before is scaled down
// (Milakov and Gimelshein 2018). So every query (one row of one head) has one fixed order that only its own position
// decides, needs no memory for scores, and reads the cache once. A tile is turned into floats in both layouts, features
// by positions for the scores and positions by features for the values, and then serves all queries of the range.
#include "kernels/cached.hpp"
#include "kernels/kernels.hpp"
#include "kernels/mathematics.hpp"

namespace freehold::FREEHOLD_ISA {
namespace {

constexpr int64_t tile_size = 16;
constexpr int tile_groups = tile_size / lanes;
constexpr int64_t most_queries = 4;

// Where things lie in the scratch memory.
struct Plan {
    int64_t key_rows;     // features rounded up
    int64_t value_width;  // latent rounded up

    explicit Plan(const LatentJob& job)
        : key_rows(round_up(job.features, lanes)), value_width(round_up(job.latent, lanes)) {}
    // Eight more than the width, so that rows do not all compete for the same lines of the processor's cache.
    int64_t value_stride() const { return value_width + lanes; }
    int64_t size(int64_t queries) const {
        return key_rows * tile_size + tile_size * value_stride() + queries * (value_width + tile_size);
    }
};

// A tile as floats: keys [features][16 positions], values [16 positions][latent].
struct Tile {
    float* keys;
    float* values;
};

struct Query {
    const float* q;
    float* weighted;  // sums of values
    float* scores;    // of the tile
    float maximum;
    double total;     // of the powers
};

// One round of three that transpose eight vectors.
FREEHOLD_INLINE void interleave(const Floats* from, Floats* to) {
    for (int i = 0; i < lanes / 2; ++i) {
        to[2 * i] = interleave_low(from[i], from[i + 4]);
        to[2 * i + 1] = interleave_high(from[i], from[i + 4]);
    }
}
FREEHOLD_INLINE void transpose(Floats* vectors) {
    Floats other[lanes];
    interleave(vectors, other);
    interleave(other, vectors);
    interleave(vectors, other);
    for (int i = 0; i < lanes; ++i) vectors[i] = other[i];
}

// What is kept of a position.
template <typename Cache>
struct Kept {
    typename Cache::Element* elements;
    uint16_t* scales;
};

template <typename Cache>
struct Pages {
    const LatentJob& job;
    const int32_t* blocks;
    int64_t scale_groups = round_up(job.features, cache_group) / cache_group;

    Kept<Cache> at(int64_t position) const {
        const int64_t slot = blocks[position / job.block_size] * job.block_size + position % job.block_size;
        return {static_cast<typename Cache::Element*>(job.keys) + slot * job.features,
                Cache::scaled ? job.scales + slot * scale_groups : nullptr};
    }
};

// Eight features from the d-th on, of which there are `count`; zeros behind them.
template <typename Cache>
FREEHOLD_INLINE Floats load_features(const Kept<Cache>& kept, int64_t d, int64_t count) {
    Floats values;
    if (count >= lanes) {
        values = Cache::load(kept.elements + d);
    } else {
        typename Cache::Element elements[lanes] = {};
        std::memcpy(elements, kept.elements + d, count * sizeof *elements);
        values = Cache::load(elements);
    }
    if constexpr (Cache::scaled) values *= broadcast(bfloat_to_float(kept.scales[d / cache_group]));
    return values;
}

// Positions [base, limit) and zeros behind them.
template <typename Cache>
void load_tile(const Pages<Cache>& pages, const Plan& plan, int64_t base, int64_t limit, const Tile& tile) {
    const LatentJob& job = pages.job;
    for (int64_t group = 0; group < tile_size; group += lanes) {
        Kept<Cache> rows[lanes] = {};
        for (int64_t i = 0; i < lanes && base + group + i < limit; ++i) rows[i] = pages.at(base + group + i);
        for (int64_t d = 0; d < job.features; d += lanes) {
            Floats vectors[lanes];
            for (int64_t i = 0; i < lanes; ++i)
                vectors[i] = rows[i].elements == nullptr ? Floats{} : load_features(rows[i], d, job.features - d);
            if (d < plan.value_width)
                for (int64_t i = 0; i < lanes; ++i)
                    store(tile.values + (group + i) * plan.value_stride() + d, vectors[i]);
            transpose(vectors);
            for (int64_t i = 0; i < lanes; ++i) store(tile.keys + (d + i) * tile_size + group, vectors[i]);
        }
    }
}

template <int Queries>
void score(const LatentJob& job, const float* keys, Query* queries) {
    Floats chains[Queries][tile_groups] = {};
    for (int64_t d = 0; d < job.features; ++d) {
        Floats key[tile_groups];
        for (int g = 0; g < tile_groups; ++g) key[g] = load(keys + d * tile_size + g * lanes);
        for (int i = 0; i < Queries; ++i) {
            const Floats q = broadcast(queries[i].q[d]);
            for (int g = 0; g < tile_groups; ++g) chains[i][g] = multiply_add(key[g], q, chains[i][g]);
        }
    }
    for (int i = 0; i < Queries; ++i)
        for (int g = 0; g < tile_groups; ++g) store(queries[i].scores + g * lanes, chains[i][g] * job.scale);
}

// The first `count` scores become exp(score - maximum) with the maximum of all positions so far; returns what sums of
// earlier positions are to be multiplied by.
float soften(Query& query, int64_t count) {
    constexpr float nothing = -__builtin_inff();
    for (int64_t i = count; i < tile_size; ++i) query.scores[i] = nothing;
    float maximum = query.maximum;
    for (int64_t i = 0; i < count; ++i) maximum = query.scores[i] > maximum ? query.scores[i] : maximum;
    const float shift = maximum == nothing ? 0 : maximum;

    Floats sums{};
    for (int64_t i = 0; i < tile_size; i += lanes) {
        const Floats powers = exponential(load(query.scores + i) - shift);
        store(query.scores + i, powers);
        sums += powers;
    }
    const float kept = exponential(broadcast(query.maximum - shift))[0];
    query.total = query.total * kept + sum(sums);
    query.maximum = maximum;
    return kept;
}

template <int Queries>
void add_values(const Plan& plan, const float* values, int64_t count, Query* queries, const float* kept) {
    constexpr int most_vectors = Queries == 1 ? 4 : 2;
    const auto add = [&]<int vectors>(int64_t d) {
        Floats sums[Queries][vectors];
        for (int i = 0; i < Queries; ++i)
            for (int v = 0; v < vectors; ++v) sums[i][v] = load(queries[i].weighted + d + v * lanes) * kept[i];
        for (int64_t at = 0; at < count; ++at) {
            Floats value[vectors];
            for (int v = 0; v < vectors; ++v) value[v] = load(values + at * plan.value_stride() + d + v * lanes);
            for (int i = 0; i < Queries; ++i) {
                const Floats weight = broadcast(queries[i].scores[at]);
                for (int v = 0; v < vectors; ++v) sums[i][v] = multiply_add(value[v], weight, sums[i][v]);
            }
        }
        for (int i = 0; i < Queries; ++i)
            for (int v = 0; v < vectors; ++v) store(queries[i].weighted + d + v * lanes, sums[i][v]);
    };
    int64_t d = 0;
    for (; d + most_vectors * lanes <= plan.value_width; d += most_vectors * lanes)
        add.template operator()<most_vectors>(d);
    for (; d < plan.value_width; d += lanes) add.template operator()<1>(d);
}

template <int Queries>
void attend_tile(const LatentJob& job, const Plan& plan, const Tile& tile, int64_t count, Query* queries) {
    score<Queries>(job, tile.keys, queries);
    float kept[Queries];
    for (int i = 0; i < Queries; ++i) kept[i] = soften(queries[i], count);
    add_values<Queries>(plan, tile.values, count, queries, kept);
}

// All heads of a row over the first `count` positions of a tile.
void attend_row(const LatentJob& job, const Plan& plan, const Tile& tile, int64_t count, Query* queries,
                int64_t heads) {
    for (int64_t first = 0; first < heads; first += most_queries) {
        switch (heads - first) {
            case 1: attend_tile<1>(job, plan, tile, count, queries + first); break;
            case 2: attend_tile<2>(job, plan, tile, count, queries + first); break;
            case 3: attend_tile<3>(job, plan, tile, count, queries + first); break;
            default: attend_tile<4>(job, plan, tile, count, queries + first); break;
        }
    }
}

template <typename Cache>
void attend_range(const LatentJob& job, const AttentionRange& range, float* scratch) {
    const Plan plan(job);
    const Tile tile{scratch, scratch + plan.key_rows * tile_size};
    float* rest = tile.values + tile_size * plan.value_stride();
    const int64_t heads = range.last_head - range.first_head;
    const int64_t count = (range.last - range.first) * heads;
    Query queries[latent_queries];
    for (int64_t i = 0; i < count; ++i) {
        const int64_t head = range.first_head + i % heads;
        float* weighted = rest + i * (plan.value_width + tile_size);
        queries[i] = {
            .q = job.q + (range.first + i / heads) * job.q_stride + head * job.features,
            .weighted = weighted,
            .scores = weighted + plan.value_width,
            .maximum = -__builtin_inff(),
            .total = 0,
        };
        for (int64_t d = 0; d < plan.value_width; d += lanes) store(weighted + d, Floats{});
    }
    const Pages<Cache> pages{job, range.blocks};
    const int64_t limit = int64_t{job.positions[range.last - 1]} + 1;
    for (int64_t base = 0; base < limit; base += tile_size) {
        load_tile(pages, plan, base, limit, tile);
        for (int64_t row = range.first; row < range.last; ++row) {
            const int64_t rest_seen = int64_t{job.positions[row]} + 1 - base;
            if (rest_seen <= 0) continue;
            const int64_t seen = rest_seen < tile_size ? rest_seen : tile_size;
            attend_row(job, plan, tile, seen, queries + (row - range.first) * heads, heads);
        }
    }
    for (int64_t i = 0; i < count; ++i) {
        float* out = job.out + ((range.first + i / heads) * job.heads + range.first_head + i % heads) * job.latent;
        const auto total = static_cast<float>(queries[i].total);
        for (int64_t d = 0; d < job.latent; ++d) out[d] = queries[i].weighted[d] / total;
    }
}

template <typename Cache>
void write_range(const LatentJob& job, const AttentionRange& range) {
    const Pages<Cache> pages{job, range.blocks};
    for (int64_t row = range.first; row < range.last; ++row) {
        const Kept<Cache> kept = pages.at(job.positions[row]);
        const auto place = [&](int64_t first, int64_t count, const auto* elements) {
            std::memcpy(kept.elements + first, elements, count * sizeof *elements);
        };
        store_features<Cache>(job.k + row * job.k_stride, job.features, place,
                              [&](int64_t group) { return kept.scales + group; });
    }
}

}  // namespace

int64_t latent_scratch(const LatentJob& job) { return Plan(job).size(latent_queries); }

void write_latent(const LatentJob& job, const AttentionRange& range) {
    with_cache(job.cache_type, [&]<typename Cache>() { write_range<Cache>(job, range); });
}

void attend_latent(const LatentJob& job, const AttentionRange& range, float* scratch) {
    with_cache(job.cache_type, [&]<typename Cache>() { attend_range<Cache>(job, range, scratch); });
}

}  // namespace freehold::FREEHOLD_ISA
