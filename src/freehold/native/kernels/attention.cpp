// Paged attention for the rows of one sequence and one KV head.
//
// Each query (one row of one head) is computed in one fixed order that only what it sees decides: scores
// as chains over head_dim (over each group of features that has a scale of its own, and then over the groups), the
// softmax's sum over chunks that begin at the first position it sees, and outputs as chains over positions in ascending
// order. Queries that share a KV head are taken together, as far as the registers
// go, only to load keys and values once; where their ranges of positions differ, each does the rest of its own alone.
#include "kernels/cached.hpp"
#include "kernels/kernels.hpp"
#include "kernels/mathematics.hpp"

namespace freehold::FREEHOLD_ISA {
namespace {

constexpr int64_t most_queries = 4;
constexpr int64_t prefetch_blocks = 4;   // how far ahead
constexpr int64_t sum_chunk = 1024;      // positions that floats add up before a double takes over
constexpr int64_t scaled_together = 64;  // weights that are multiplied by scales at once
constexpr int64_t score_padding = 2 * lanes;  // what whole vectors may write behind the last score

// Where a block's keys and values of one KV head begin.
template <typename Cache>
struct Pages {
    using Element = typename Cache::Element;
    const AttentionJob& job;
    const int32_t* blocks;
    int64_t kv_head;
    bool prefetch;
    int64_t key_groups = round_up(job.block_size, lanes) / lanes;
    int64_t value_dim = round_up(job.head_dim, lanes);
    int64_t scale_groups = round_up(job.head_dim, cache_group) / cache_group;

    int64_t page(int64_t block) const { return blocks[block] * job.kv_heads + kv_head; }
    Element* keys(int64_t block) const {
        return static_cast<Element*>(job.keys) + page(block) * key_groups * job.head_dim * lanes;
    }
    Element* values(int64_t block) const {
        return static_cast<Element*>(job.values) + page(block) * job.block_size * value_dim;
    }
    // As many for keys as for values, in another order.
    int64_t scales() const { return key_groups * scale_groups * lanes; }
    uint16_t* key_scales(int64_t block, int64_t group) const {
        return Cache::scaled ? job.key_scales + page(block) * scales() + group * scale_groups * lanes : nullptr;
    }
    uint16_t* value_scales(int64_t block, int64_t group) const {
        return Cache::scaled ? job.value_scales + page(block) * scales() + group * key_groups * lanes : nullptr;
    }
};

// Blocks lie anywhere, so the processor does not see the next one coming. This is for a row by itself, as in decoding;
// of several rows the first brings the blocks into a cache. Forced inline, since GCC takes a function that does nothing
// but prefetch for one without effect, and drops its calls.
template <typename Cache>
FREEHOLD_INLINE void prefetch_scales(const Pages<Cache>& pages, const uint16_t* scales) {
    constexpr int64_t line = 64 / sizeof(uint16_t);
    if constexpr (Cache::scaled)
        for (int64_t i = 0; i < pages.scales(); i += line) __builtin_prefetch(scales + i);
}
template <typename Cache>
FREEHOLD_INLINE void prefetch_keys(const Pages<Cache>& pages, int64_t block) {
    constexpr int64_t line = 64 / sizeof(typename Cache::Element);
    const auto* keys = pages.keys(block);
    const int64_t count = pages.key_groups * pages.job.head_dim * lanes;
    for (int64_t i = 0; i < count; i += line) __builtin_prefetch(keys + i);
    prefetch_scales(pages, pages.key_scales(block, 0));
}
template <typename Cache>
FREEHOLD_INLINE void prefetch_values(const Pages<Cache>& pages, int64_t block) {
    constexpr int64_t line = 64 / sizeof(typename Cache::Element);
    const auto* values = pages.values(block);
    for (int64_t i = 0; i < pages.job.block_size * pages.value_dim; i += line) __builtin_prefetch(values + i);
    prefetch_scales(pages, pages.value_scales(block, 0));
}

struct Query {
    const float* q;
    float* out;        // [head_dim] of the result
    float* scores;     // of position `origin` and on
    float* weighted;   // [value_dim], sums of values
    int64_t head;
    int64_t position;  // its own
    int64_t start;     // the first position it sees
    int64_t limit;     // one past the last
};

// Vectors that each of several queries sums up at once: as many as there are registers for.
constexpr int vectors_for(int queries) { return queries <= 2 || is_wide<Widest> ? 4 : 2; }

// Keys of as many positions as a vector has lanes, in groups of eight, and where their scores go.
template <typename Cache>
struct KeyGroups {
    const typename Cache::Element* keys;
    const uint16_t* scales;
    int64_t at;
};

// Scores of some vectors of positions for several queries. Where keys have scales, each group of features is a chain of
// its own, and the groups are one more.
template <typename Cache, typename Vector, int Queries, int Parts>
void score(const KeyGroups<Cache>* parts, const Query* queries, const AttentionJob& job) {
    const int64_t features = Cache::scaled ? cache_group : job.head_dim;
    const int64_t keys_apart = job.head_dim * lanes;
    const int64_t scales_apart = round_up(job.head_dim, cache_group) / cache_group * lanes;
    Vector totals[Queries][Parts] = {};
    for (int64_t first = 0; first < job.head_dim; first += features) {
        Vector chains[Queries][Parts] = {};
        const int64_t end = first + features < job.head_dim ? first + features : job.head_dim;
        for (int64_t d = first; d < end; ++d) {
            Vector key[Parts];
            for (int p = 0; p < Parts; ++p) key[p] = load_elements<Cache, Vector>(parts[p].keys + d * lanes, keys_apart);
            for (int i = 0; i < Queries; ++i) {
                const Vector q = repeated<Vector>(queries[i].q[d]);
                for (int p = 0; p < Parts; ++p) chains[i][p] = multiply_add(key[p], q, chains[i][p]);
            }
        }
        for (int p = 0; p < Parts; ++p) {
            Vector scale{};
            if constexpr (Cache::scaled)
                scale = load_scales<Vector>(parts[p].scales + first / cache_group * lanes, scales_apart);
            for (int i = 0; i < Queries; ++i) {
                if constexpr (Cache::scaled)
                    totals[i][p] = multiply_add(chains[i][p], scale, totals[i][p]);
                else
                    totals[i][p] = chains[i][p];
            }
        }
    }
    for (int p = 0; p < Parts; ++p)
        for (int i = 0; i < Queries; ++i) store(queries[i].scores + parts[p].at, totals[i][p] * job.scale);
}

// Collects vectors of keys until there are as many as are scored together. Scores are stored in the order in which they
// came.
template <typename Cache, int Queries>
class Scorer {
public:
    Scorer(const AttentionJob& job, const Query* queries) : job_(job), queries_(queries) {}

    template <typename Vector>
    void add(const KeyGroups<Cache>& groups) {
        if constexpr (!std::is_same_v<Vector, Widest>) {
            flush();
            return score<Cache, Vector, Queries, 1>(&groups, queries_, job_);
        }
        waiting_[count_++] = groups;
        if (count_ < together) return;
        score<Cache, Widest, Queries, together>(waiting_, queries_, job_);
        count_ = 0;
    }
    void flush() {
        for (int i = 0; i < count_; ++i) score<Cache, Widest, Queries, 1>(waiting_ + i, queries_, job_);
        count_ = 0;
    }

private:
    static constexpr int together = vectors_for(Queries);
    const AttentionJob& job_;
    const Query* queries_;
    KeyGroups<Cache> waiting_[together];
    int count_ = 0;
};

// Scores of every position that any of the queries sees. A group of eight positions may reach past the end of its
// block: the next block's scores then overwrite what it left there.
template <typename Cache, int Queries>
void score_all(const Pages<Cache>& pages, const Query* queries, int64_t origin, int64_t start, int64_t limit) {
    const AttentionJob& job = pages.job;
    const auto first_blocks = [&](auto prefetch) {
        for (int64_t i = 0; pages.prefetch && i < prefetch_blocks && origin + i * job.block_size < limit; ++i)
            prefetch(origin / job.block_size + i);
    };
    first_blocks([&](int64_t block) __attribute__((always_inline)) { prefetch_keys(pages, block); });
    Scorer<Cache, Queries> scorer(job, queries);
    for (int64_t base = origin; base < limit; base += job.block_size) {
        const int64_t block = base / job.block_size;
        if (pages.prefetch && base + prefetch_blocks * job.block_size < limit) prefetch_keys(pages, block + prefetch_blocks);
        const int64_t filled = limit - base < job.block_size ? limit - base : job.block_size;
        const int64_t groups = round_up(filled, lanes) / lanes;
        int64_t group = start > base ? (start - base) / lanes : 0;
        const auto keys = [&] {
            return KeyGroups<Cache>{pages.keys(block) + group * job.head_dim * lanes, pages.key_scales(block, group),
                                    base - origin + group * lanes};
        };
        constexpr int64_t widest = lanes_of<Widest> / lanes;
        for (; group + widest <= groups; group += widest) scorer.template add<Widest>(keys());
        for (; group < groups; ++group) scorer.template add<Floats>(keys());
    }
    scorer.flush();
    first_blocks([&](int64_t block) __attribute__((always_inline)) { prefetch_values(pages, block); });
}

// What scores go through where the job has a softcap or slopes, `scores` being those that the query sees.
void adjust(const AttentionJob& job, const Query& query, float* scores) {
    const int64_t count = query.limit - query.start;
    if (job.softcap > 0)
        for (int64_t i = 0; i < count; i += lanes)
            store(scores + i, job.softcap * hyperbolic_tangent(load(scores + i) / job.softcap));
    if (job.slopes == nullptr) return;
    const Floats slope = broadcast(job.slopes[query.head]);
    for (int64_t i = 0; i < count; i += lanes) {
        const auto first = static_cast<int32_t>(query.start + i - query.position);
        const Floats distances = to_floats(first + Ints{0, 1, 2, 3, 4, 5, 6, 7});
        store(scores + i, multiply_add(slope, distances, load(scores + i)));
    }
}

template <typename Vector>
FREEHOLD_INLINE void add_powers(float* scores, float maximum, Floats& sums) {
    const Vector powers = exponential(load_as<Vector>(scores) - maximum);
    store_as(scores, powers);
#if defined(__AVX512F__)
    if constexpr (is_wide<Vector>) {
        sums += first_half(powers);
        sums += second_half(powers);
    } else
#endif
        sums += powers;
}

// Scores become exp(score - maximum); returns their sum. A sink is one more score, which only the sum knows.
float soften(float* scores, int64_t count, const float* sink) {
    store(scores + count, broadcast(-__builtin_inff()));  // so that whole vectors may be read
    constexpr int64_t chains = 4;  // that do not wait for each other
    Floats largest[chains];
    for (Floats& one : largest) one = broadcast(-__builtin_inff());
    int64_t next = 0;
    for (; next + chains * lanes <= count; next += chains * lanes)
        for (int64_t chain = 0; chain < chains; ++chain)
            largest[chain] = larger_of(load(scores + next + chain * lanes), largest[chain]);
    for (; next < count; next += lanes) largest[0] = larger_of(load(scores + next), largest[0]);
    for (const Floats& one : largest) largest[0] = larger_of(one, largest[0]);
    float maximum = largest[0][0];
    for (int64_t lane = 1; lane < lanes; ++lane) maximum = largest[0][lane] > maximum ? largest[0][lane] : maximum;
    if (sink != nullptr) maximum = *sink > maximum ? *sink : maximum;

    double total = sink == nullptr ? 0 : exponential(broadcast(*sink - maximum))[0];
    for (int64_t begin = 0; begin < count; begin += sum_chunk) {
        const int64_t end = count - begin < sum_chunk ? count : begin + sum_chunk;
        Floats sums{};
        int64_t i = begin;
        for (; i + lanes_of<Widest> <= end; i += lanes_of<Widest>) add_powers<Widest>(scores + i, maximum, sums);
        for (; i < end; i += lanes) add_powers<Floats>(scores + i, maximum, sums);
        total += sum(sums);
    }
    return static_cast<float>(total);
}

// Weights of the positions of one block from the `slot`-th on, times the scales of a group of features. Scales are read as
// whole vectors, so what is written begins up to seven weights earlier.
FREEHOLD_INLINE const float* scale_weights(const float* weights, const uint16_t* scales, int64_t slot, int64_t count,
                                           float* products) {
    const int64_t ahead = slot % lanes;
    for (int64_t at = -ahead; at < count; at += lanes)
        store(products + ahead + at, load(weights + at) * load_bfloat(scales + slot + at));
    return products + ahead;
}

// Positions of one block.
template <typename Element>
struct Values {
    const Element* data;      // rows of value_dim elements
    const uint16_t* scales;   // of the block's first position and group; groups lie scales_apart
    int64_t scales_apart;
    int64_t dim;
    int64_t slot, count;      // positions from the slot-th on
};

// Adds some features, which are Groups groups of Vectors vectors each: groups that have scales of their own.
template <typename Cache, typename Vector, int Queries, int Groups, int Vectors>
void add_features(const Values<typename Cache::Element>& block, const Query* queries, int64_t at, int64_t d) {
    constexpr int64_t width = lanes_of<Vector>;
    float products[Queries][Groups][Cache::scaled ? scaled_together + lanes : 1];
    const float* weights[Queries][Groups];
    for (int i = 0; i < Queries; ++i)
        for (int g = 0; g < Groups; ++g) {
            weights[i][g] = queries[i].scores + at;
            if constexpr (Cache::scaled)
                weights[i][g] = scale_weights(weights[i][g], block.scales + (d / cache_group + g) * block.scales_apart,
                                              block.slot, block.count, products[i][g]);
        }
    constexpr int count = Groups * Vectors;
    Vector sums[Queries][count];
    for (int i = 0; i < Queries; ++i)
        for (int v = 0; v < count; ++v) sums[i][v] = load_as<Vector>(queries[i].weighted + d + v * width);
    const auto* values = block.data + d;
    for (int64_t position = 0; position < block.count; ++position, values += block.dim) {
        Vector value[count];
        for (int v = 0; v < count; ++v) value[v] = load_elements<Cache, Vector>(values + v * width);
        for (int i = 0; i < Queries; ++i) {
            Vector weight[Groups];
            for (int g = 0; g < Groups; ++g) weight[g] = repeated<Vector>(weights[i][g][position]);
            for (int v = 0; v < count; ++v) sums[i][v] = multiply_add(value[v], weight[v / Vectors], sums[i][v]);
        }
    }
    for (int i = 0; i < Queries; ++i)
        for (int v = 0; v < count; ++v) store(queries[i].weighted + d + v * width, sums[i][v]);
}

// Adds the values of positions [from, to), each times its weight.
template <typename Cache, int Queries>
void add_values(const Pages<Cache>& pages, const Query* queries, int64_t origin, int64_t from, int64_t to) {
    constexpr int vectors = vectors_for(Queries);
    constexpr int64_t features = vectors * lanes_of<Widest>;
    constexpr int groups = features > cache_group ? features / cache_group : 1;
    const int64_t size = pages.job.block_size;
    const int64_t dim = pages.value_dim;
    for (int64_t position = from, end; position < to; position = end) {
        const int64_t block = position / size;
        end = (block + 1) * size < to ? (block + 1) * size : to;
        if (Cache::scaled && end - position > scaled_together) end = position + scaled_together;
        if (pages.prefetch && (block + prefetch_blocks) * size < to) prefetch_values(pages, block + prefetch_blocks);
        const Values<typename Cache::Element> values{
            .data = pages.values(block) + position % size * dim,
            .scales = pages.value_scales(block, 0),
            .scales_apart = pages.key_groups * lanes,
            .dim = dim,
            .slot = position % size,
            .count = end - position,
        };
        const int64_t at = position - origin;
        int64_t d = 0;
        for (; d + features <= dim; d += features)
            add_features<Cache, Widest, Queries, groups, vectors / groups>(values, queries, at, d);
        for (; d + lanes_of<Widest> <= dim; d += lanes_of<Widest>)
            add_features<Cache, Widest, Queries, 1, 1>(values, queries, at, d);
        for (; d < dim; d += lanes) add_features<Cache, Floats, Queries, 1, 1>(values, queries, at, d);
    }
}

template <typename Cache, int Queries>
void attend_queries(const Pages<Cache>& pages, const Query* queries) {
    const AttentionJob& job = pages.job;
    int64_t start = queries[0].start, limit = queries[0].limit;                  // what any of them sees
    int64_t common_start = queries[0].start, common_limit = queries[0].limit;    // what all of them see
    for (int i = 1; i < Queries; ++i) {
        start = queries[i].start < start ? queries[i].start : start;
        limit = queries[i].limit > limit ? queries[i].limit : limit;
        common_start = queries[i].start > common_start ? queries[i].start : common_start;
        common_limit = queries[i].limit < common_limit ? queries[i].limit : common_limit;
    }
    if (common_start > common_limit) common_start = common_limit = start;  // nothing in common

    const int64_t origin = start / job.block_size * job.block_size;
    score_all<Cache, Queries>(pages, queries, origin, start, limit);
    float totals[Queries];
    for (int i = 0; i < Queries; ++i) {
        float* scores = queries[i].scores + queries[i].start - origin;
        if (job.softcap > 0 || job.slopes != nullptr) adjust(job, queries[i], scores);
        const float* sink = job.sinks == nullptr ? nullptr : job.sinks + queries[i].head;
        totals[i] = soften(scores, queries[i].limit - queries[i].start, sink);
        for (int64_t d = 0; d < pages.value_dim; d += lanes) store(queries[i].weighted + d, Floats{});
        if (queries[i].start < common_start)
            add_values<Cache, 1>(pages, queries + i, origin, queries[i].start, common_start);
    }
    add_values<Cache, Queries>(pages, queries, origin, common_start, common_limit);
    for (int i = 0; i < Queries; ++i) {
        const int64_t rest = common_limit > queries[i].start ? common_limit : queries[i].start;
        add_values<Cache, 1>(pages, queries + i, origin, rest, queries[i].limit);
        for (int64_t d = 0; d < job.head_dim; ++d) queries[i].out[d] = queries[i].weighted[d] / totals[i];
    }
}

// The first position that a row sees.
int64_t first_seen(const AttentionJob& job, int64_t position) {
    int64_t start = 0;
    if (job.window > 0 && position + 1 > job.window) start = position + 1 - job.window;
    if (job.chunk > 0 && position / job.chunk * job.chunk > start) start = position / job.chunk * job.chunk;
    return start;
}

int64_t last_seen(const AttentionJob& job, const AttentionRange& range, int64_t row) {
    return job.causal ? job.positions[row] : range.positions - 1;
}

template <typename Cache>
void attend_range(const AttentionJob& job, const AttentionRange& range, float* scratch) {
    const int64_t group = range.last_head - range.first_head;
    const int64_t count = (range.last - range.first) * group;
    const Pages<Cache> pages{job, range.blocks, range.kv_head, range.last - range.first == 1};
    const int64_t stride = attention_scratch(job, last_seen(job, range, range.last - 1) + 1) / most_queries;
    for (int64_t first = 0; first < count; first += most_queries) {
        const int64_t together = count - first < most_queries ? count - first : most_queries;
        Query queries[most_queries];
        for (int64_t i = 0; i < together; ++i) {
            const int64_t row = range.first + (first + i) / group;
            const int64_t head = range.first_head + (first + i) % group;
            queries[i] = {
                .q = job.q + row * job.q_stride + head * job.head_dim,
                .out = job.out + (row * job.heads + head) * job.head_dim,
                .scores = scratch + i * stride + pages.value_dim,
                .weighted = scratch + i * stride,
                .head = head,
                .position = job.positions[row],
                .start = first_seen(job, job.positions[row]),
                .limit = last_seen(job, range, row) + 1,
            };
        }
        switch (together) {
            case 1: attend_queries<Cache, 1>(pages, queries); break;
            case 2: attend_queries<Cache, 2>(pages, queries); break;
            case 3: attend_queries<Cache, 3>(pages, queries); break;
            default: attend_queries<Cache, 4>(pages, queries); break;
        }
    }
}

template <typename Cache>
void write_range(const AttentionJob& job, const AttentionRange& range) {
    const Pages<Cache> pages{job, range.blocks, range.kv_head, false};
    using Element = typename Cache::Element;
    for (int64_t row = range.first; row < range.last; ++row) {
        const int64_t block = job.positions[row] / job.block_size;
        const int64_t slot = job.positions[row] % job.block_size;
        Element* key = pages.keys(block) + slot / lanes * job.head_dim * lanes + slot % lanes;
        Element* value = pages.values(block) + slot * pages.value_dim;
        const auto place_key = [&](int64_t first, int64_t count, const Element* elements) {
            for (int64_t i = 0; i < count; ++i) key[(first + i) * lanes] = elements[i];
        };
        const auto place_value = [&](int64_t first, int64_t count, const Element* elements) {
            std::memcpy(value + first, elements, round_up(count, lanes) * sizeof(Element));
        };
        store_features<Cache>(
            job.k + row * job.k_stride + range.kv_head * job.head_dim, job.head_dim, place_key,
            [&](int64_t group) { return pages.key_scales(block, slot / lanes) + group * lanes + slot % lanes; });
        store_features<Cache>(job.v + row * job.v_stride + range.kv_head * job.head_dim, job.head_dim, place_value,
                              [&](int64_t group) { return pages.value_scales(block, group) + slot; });
    }
}

}  // namespace

int64_t attention_scratch(const AttentionJob& job, int64_t positions) {
    return most_queries * (round_up(positions, lanes) + score_padding + round_up(job.head_dim, lanes));
}

void write_cache(const AttentionJob& job, const AttentionRange& range) {
    with_cache(job.cache_type, [&]<typename Cache>() { write_range<Cache>(job, range); });
}

void attend(const AttentionJob& job, const AttentionRange& range, float* scratch) {
    with_cache(job.cache_type, [&]<typename Cache>() { attend_range<Cache>(job, range, scratch); });
}

}  // namespace freehold::FREEHOLD_ISA
