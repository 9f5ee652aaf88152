#include "kernels/kernels.hpp"
#include "kernels/mathematics.hpp"

namespace freehold::FREEHOLD_ISA {
namespace {

constexpr float length_epsilon = 1e-6f;
constexpr int64_t most_parts = delta_lanes / lanes;

FREEHOLD_INLINE Floats load_up_to(const float* from, int64_t count) {
    return count >= lanes ? load(from) : load_some(from, count);
}
FREEHOLD_INLINE void store_up_to(float* to, Floats value, int64_t count) {
    if (count >= lanes)
        store(to, value);
    else
        store_some(to, value, count);
}

// SiLU of the convolution of `size` channels from `channel` on. Rows before the sequence count as zeros, and are summed
// like any other, so that it makes no difference where a chunk begins.
void convolve(const DeltaJob& job, int64_t row, int64_t channel, int64_t size, float* out) {
    const int64_t begin = job.begins[row];
    for (int64_t i = 0; i < size; i += lanes) {
        const int64_t count = size - i;
        Floats total{};
        for (int64_t tap = 0; tap < job.width; ++tap) {
            const int64_t from = row - (job.width - 1) + tap;
            const float* x = nullptr;
            if (from >= begin)
                x = job.qkv + from * job.qkv_stride;
            else if (job.befores[row] != nullptr)
                x = job.befores[row] + (from - begin + job.width - 1) * job.channels;
            const Floats input = x == nullptr ? Floats{} : load_up_to(x + channel + i, count);
            total = multiply_add(input, load_up_to(job.taps + tap * job.channels + channel + i, count), total);
        }
        store_up_to(out + i, silu(total), count);
    }
}

void scale_to_length(float* x, int64_t size, float length) {
    Floats squares{};
    for (int64_t i = 0; i < size; i += lanes) {
        const Floats values = load_up_to(x + i, size - i);
        squares = multiply_add(values, values, squares);
    }
    const float factor = length / __builtin_sqrtf(sum(squares) + length_epsilon);
    for (int64_t i = 0; i < size; ++i) x[i] *= factor;
}

// `parts` vectors of the values of one head. The state lies in scratch, [key_dim][parts * 8], while rows go by.
template <int64_t parts>
void go_on(const DeltaJob& job, const DeltaRange& range, float* state) {
    constexpr int64_t width = parts * lanes;
    const int64_t values = job.value_dim;
    const auto left = [&](int64_t part) { return range.last_value - range.first_value - part * lanes; };
    for (int64_t i = 0; i < job.key_dim; ++i)
        for (int64_t part = 0; part < parts; ++part) {
            Floats value{};
            if (range.from != nullptr)
                value = load_up_to(range.from + i * values + range.first_value + part * lanes, left(part));
            store(state + i * width + part * lanes, value);
        }
    const int64_t shared = job.value_heads / job.key_heads;
    const int64_t key_head = job.tiled ? range.head % job.key_heads : range.head / shared;
    for (int64_t row = range.first; row < range.last; ++row) {
        const float* mixed = job.mixed + row * job.channels;
        const float* q = mixed + key_head * job.key_dim;
        const float* k = q + job.key_heads * job.key_dim;
        const float* v = mixed + 2 * job.key_heads * job.key_dim + range.head * values + range.first_value;
        const int64_t control = row * job.value_heads + range.head;
        const float factor = job.factors[control], strength = job.strengths[control];

        Floats change[parts] = {};
        for (int64_t i = 0; i < job.key_dim; ++i)
            for (int64_t part = 0; part < parts; ++part) {
                float* at = state + i * width + part * lanes;
                const Floats faded = load(at) * factor;
                store(at, faded);
                change[part] = multiply_add(faded, broadcast(k[i]), change[part]);
            }
        for (int64_t part = 0; part < parts; ++part)
            change[part] = (load_up_to(v + part * lanes, left(part)) - change[part]) * strength;
        Floats out[parts] = {};
        for (int64_t i = 0; i < job.key_dim; ++i)
            for (int64_t part = 0; part < parts; ++part) {
                float* at = state + i * width + part * lanes;
                const Floats learnt = multiply_add(change[part], broadcast(k[i]), load(at));
                store(at, learnt);
                out[part] = multiply_add(learnt, broadcast(q[i]), out[part]);
            }
        float* to = job.out + control * values + range.first_value;
        for (int64_t part = 0; part < parts; ++part) store_up_to(to + part * lanes, out[part], left(part));
    }
    if (range.to == nullptr) return;
    for (int64_t i = 0; i < job.key_dim; ++i)
        for (int64_t part = 0; part < parts; ++part)
            store_up_to(range.to + i * values + range.first_value + part * lanes,
                        load(state + i * width + part * lanes), left(part));
}

}  // namespace

void delta_inputs(const DeltaJob& job, int64_t first, int64_t last) {
    const int64_t heads = 2 * job.key_heads + job.value_heads;
    const float query_length = 1.0f / __builtin_sqrtf(static_cast<float>(job.key_dim));
    for (int64_t index = first; index < last; ++index) {
        const int64_t row = index / heads, head = index % heads;
        const int64_t value_head = head - 2 * job.key_heads;
        const int64_t size = value_head < 0 ? job.key_dim : job.value_dim;
        const int64_t channel =
            value_head < 0 ? head * job.key_dim : 2 * job.key_heads * job.key_dim + value_head * job.value_dim;
        float* out = job.mixed + row * job.channels + channel;
        convolve(job, row, channel, size, out);
        if (value_head < 0) scale_to_length(out, size, head < job.key_heads ? query_length : 1.0f);
    }
}

void delta_rule(const DeltaJob& job, const DeltaRange& range, float* scratch) {
    static_assert(most_parts == 4);
    switch ((range.last_value - range.first_value + lanes - 1) / lanes) {
        case 1: return go_on<1>(job, range, scratch);
        case 2: return go_on<2>(job, range, scratch);
        case 3: return go_on<3>(job, range, scratch);
        default: return go_on<4>(job, range, scratch);
    }
}

}  // namespace freehold::FREEHOLD_ISA
