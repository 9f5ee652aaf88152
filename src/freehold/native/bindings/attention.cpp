#include "runtime/attention.hpp"

#include <nanobind/stl/optional.h>

#include <cmath>
#include <initializer_list>
#include <optional>
#include <utility>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "bindings/graphs.hpp"

namespace freehold {
namespace {

struct Heads {
    Rows<const float> rows;
    int64_t heads, head_dim;
};

Heads heads_of(const Array& array, const char* name) {
    return {rows_of(array, name, 3), static_cast<int64_t>(array.shape(1)), static_cast<int64_t>(array.shape(2))};
}

RaggedBatch batch_of(const Array& positions, const Array& offsets, const Array& block_tables,
                     const Array& block_offsets, int64_t tokens) {
    RaggedBatch batch{};
    batch.tokens = tokens;
    batch.positions = vector_of<int32_t>(positions, "positions", tokens);
    batch.offsets = vector_of<int32_t>(offsets, "offsets");
    batch.sequences = static_cast<int64_t>(offsets.shape(0)) - 1;
    if (batch.sequences < 0) refuse("offsets has 0 entries, must have at least 1");
    batch.block_tables = vector_of<int32_t>(block_tables, "block_tables");
    batch.table_size = static_cast<int64_t>(block_tables.shape(0));
    batch.block_offsets = vector_of<int32_t>(block_offsets, "block_offsets", batch.sequences + 1);
    return batch;
}

// The kind of cache that an array belongs to.
CacheType cache_type_of(const WritableArray& array, const char* name) {
    constexpr std::pair<nb::dlpack::dtype, CacheType> types[] = {
        {nb::dtype<float>(), CacheType::f32}, {half_type, CacheType::f16}, {nb::dtype<int8_t>(), CacheType::q8}};
    for (const auto& [type, kind] : types)
        if (array.dtype() == type) return kind;
    refuse(name, " is of type ", type_name(array.dtype()), ", must be float32, float16 or int8");
}

// The scales of codes, in an array of this shape; null for other elements, which have none.
uint16_t* scales_of(const std::optional<WritableArray>& scales, const char* name, CacheType type,
                    std::initializer_list<int64_t> shape) {
    if (scales.has_value() != (type == CacheType::q8))
        refuse(name, scales ? " are given, but only codes of int8 have scales" : " are missing for codes of int8");
    if (!scales) return nullptr;
    require_dimensions(*scales, name, shape.size());
    size_t dimension = 0;
    for (const int64_t size : shape) require_size(*scales, name, dimension++, size);
    return contiguous<WritableArray, uint16_t>(*scales, name);
}

int64_t divided_up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple; }

// Takes keys [blocks, kv_heads, groups, head_dim, 8] and values [blocks, kv_heads, block_size, padded head_dim], and
// their scales as table.hpp describes them.
int64_t set_cache(AttentionJob& job, const WritableArray& keys, const WritableArray& values,
                  const std::optional<WritableArray>& key_scales, const std::optional<WritableArray>& value_scales) {
    require_dimensions(keys, "keys", 5);
    require_dimensions(values, "values", 4);
    job.cache_type = cache_type_of(keys, "keys");
    for (const auto& [array, name] : {std::pair{&keys, "keys"}, {&values, "values"}}) {
        require_type(*array, name, keys.dtype());
        require_contiguous(*array, name, 0);
        require_size(*array, name, 1, job.kv_heads);
    }
    const int64_t blocks = in_range("keys.shape[0]", static_cast<int64_t>(keys.shape(0)), 0, most_int32);
    job.block_size = in_range("values.shape[2]", static_cast<int64_t>(values.shape(2)), 1, most_int32);
    const int64_t groups = divided_up(job.block_size, 8);
    require_size(keys, "keys", 2, groups);
    require_size(keys, "keys", 3, job.head_dim);
    require_size(keys, "keys", 4, 8);
    require_size(values, "values", 0, blocks);
    require_size(values, "values", 3, divided_up(job.head_dim, 8) * 8);
    const int64_t scales = divided_up(job.head_dim, cache_group);
    job.keys = keys.data();
    job.values = values.data();
    job.key_scales = scales_of(key_scales, "key_scales", job.cache_type, {blocks, job.kv_heads, groups, scales, 8});
    job.value_scales =
        scales_of(value_scales, "value_scales", job.cache_type, {blocks, job.kv_heads, scales, groups * 8});
    return blocks;
}

const float* per_head(const std::optional<Array>& array, const char* name, int64_t heads) {
    return array ? vector_of<float>(*array, name, heads) : nullptr;
}

void bind_attend(const Array& q, const Array& k, const Array& v, const Array& positions, const Array& offsets,
                 const Array& block_tables, const Array& block_offsets, const WritableArray& keys,
                 const WritableArray& values, const std::optional<WritableArray>& key_scales,
                 const std::optional<WritableArray>& value_scales, float scale, int64_t window, int64_t chunk, float softcap, bool causal,
                 const std::optional<Array>& sinks, const std::optional<Array>& slopes, const WritableArray& out) {
    const Heads query = heads_of(q, "q");
    const Heads key = heads_of(k, "k");
    const Heads value = heads_of(v, "v");
    in_range("q.shape[1]", query.heads, 1, most_int32);
    if (key.heads < 1 || query.heads % key.heads != 0)
        refuse("q has ", query.heads, " heads, which is not a multiple of k's ", key.heads);
    in_range("head_dim", query.head_dim, 1, most_int32);
    for (size_t dimension = 0; dimension < 3; ++dimension)
        require_size(v, "v", dimension, static_cast<int64_t>(k.shape(dimension)));
    require_size(k, "k", 0, query.rows.rows);
    require_size(k, "k", 2, query.head_dim);
    AttentionJob job{};
    job.q = query.rows.data, job.q_stride = query.rows.stride;
    job.k = key.rows.data, job.k_stride = key.rows.stride;
    job.v = value.rows.data, job.v_stride = value.rows.stride;
    job.heads = query.heads, job.kv_heads = key.heads, job.head_dim = query.head_dim;
    job.scale = scale;
    job.window = in_range("window", window, 0, most_elements);
    job.chunk = in_range("chunk", chunk, 0, most_elements);
    if (!(softcap >= 0) || std::isinf(softcap)) refuse("softcap is ", softcap, ", must be finite and at least 0");
    job.softcap = softcap;
    job.causal = causal;
    job.sinks = per_head(sinks, "sinks", job.heads);
    job.slopes = per_head(slopes, "slopes", job.heads);
    const int64_t blocks = set_cache(job, keys, values, key_scales, value_scales);
    job.out = writable_matrix<float>(out, "out", query.rows.rows, job.heads * job.head_dim);
    const RaggedBatch batch = batch_of(positions, offsets, block_tables, block_offsets, query.rows.rows);
    job.positions = batch.positions;
    perform([=] {
        check(batch, job.block_size, blocks);
        attention(job, batch);
    }, q, k, v, positions, offsets, block_tables, block_offsets, keys, values, key_scales, value_scales, sinks, slopes,
       out);
}

// Takes keys [blocks, block_size, features].
int64_t set_cache(LatentJob& job, const WritableArray& keys, const std::optional<WritableArray>& scales) {
    require_dimensions(keys, "keys", 3);
    job.cache_type = cache_type_of(keys, "keys");
    require_type(keys, "keys", keys.dtype());
    require_contiguous(keys, "keys", 0);
    job.block_size = in_range("keys.shape[1]", static_cast<int64_t>(keys.shape(1)), 1, most_int32);
    require_size(keys, "keys", 2, job.features);
    job.keys = keys.data();
    const int64_t blocks = in_range("keys.shape[0]", static_cast<int64_t>(keys.shape(0)), 0, most_int32);
    job.scales = scales_of(scales, "scales", job.cache_type,
                           {blocks, job.block_size, divided_up(job.features, cache_group)});
    return blocks;
}

void bind_latent(const Array& q, const Array& k, const Array& positions, const Array& offsets,
                 const Array& block_tables, const Array& block_offsets, const WritableArray& keys,
                 const std::optional<WritableArray>& scales, int64_t latent, float scale, const WritableArray& out) {
    const Heads query = heads_of(q, "q");
    const Rows<const float> key = rows_of(k, "k", 2);
    in_range("q.shape[1]", query.heads, 1, most_int32);
    in_range("q.shape[2]", query.head_dim, 1, most_int32);
    require_size(k, "k", 0, query.rows.rows);
    require_size(k, "k", 1, query.head_dim);
    LatentJob job{};
    job.q = query.rows.data, job.q_stride = query.rows.stride;
    job.k = key.data, job.k_stride = key.stride;
    job.heads = query.heads, job.features = query.head_dim;
    job.latent = in_range("latent", latent, 1, job.features);
    job.scale = scale;
    const int64_t blocks = set_cache(job, keys, scales);
    job.out = writable_matrix<float>(out, "out", query.rows.rows, job.heads * job.latent);
    const RaggedBatch batch = batch_of(positions, offsets, block_tables, block_offsets, query.rows.rows);
    job.positions = batch.positions;
    perform([=] {
        check(batch, job.block_size, blocks);
        latent_attention(job, batch);
    }, q, k, positions, offsets, block_tables, block_offsets, keys, scales, out);
}

}  // namespace

void bind_attention(nb::module_& module) {
    using namespace nb::literals;
    module.def("attention", bind_attend, "q"_a, "k"_a, "v"_a, "positions"_a, "offsets"_a, "block_tables"_a,
               "block_offsets"_a, "keys"_a, "values"_a, "key_scales"_a.none(), "value_scales"_a.none(), "scale"_a,
               "window"_a, "chunk"_a, "softcap"_a, "causal"_a, "sinks"_a.none(), "slopes"_a.none(), "out"_a);
    module.def("latent_attention", bind_latent, "q"_a, "k"_a, "positions"_a, "offsets"_a, "block_tables"_a,
               "block_offsets"_a, "keys"_a, "scales"_a.none(), "latent"_a, "scale"_a, "out"_a);
}

}  // namespace freehold
