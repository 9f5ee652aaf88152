#include "runtime/experts.hpp"

#include <algorithm>

#include "runtime/isa.hpp"
#include "runtime/memory.hpp"
#include "runtime/mlp.hpp"
#include "runtime/quantised.hpp"
#include "runtime/thread_pool.hpp"

namespace freehold {
namespace {

constexpr int64_t grain = 16384;  // elements

// What the experts may take for what they make of rows. More rows take several turns, each of which reads the experts'
// weights again.
constexpr int64_t most_bytes = 256 << 20;

bool any_takes(const std::vector<Weight>& weights, bool (Weight::*form)() const) {
    return std::any_of(weights.begin(), weights.end(), [form](const Weight& weight) { return (weight.*form)(); });
}

// An entry is one row of one expert. Those of an expert follow each other, in the order of the rows.
struct Entries {
    int64_t count;
    int32_t* first;   // [experts + 1]: the entries of an expert begin here
    int32_t* rows;    // [count]
    float* weights;   // [count]
    int32_t* places;  // [rows][top_k]: the entry of a place in the routes, or -1
};

struct Workspace {
    Scratch routing, routes, entries, gathered, quantised_rows, quantised_entries, hidden, quantised_hidden, made;
    std::vector<Product> products;
};

Entries entries_of(const Routes& routes, int64_t rows, int64_t top_k, int64_t experts, Scratch& scratch) {
    const int64_t places = rows * top_k;
    auto* memory = scratch.reserve<int32_t>(experts + 1 + 3 * places);
    Entries entries{
        .count = 0,
        .first = memory,
        .rows = memory + experts + 1,
        .weights = reinterpret_cast<float*>(memory + experts + 1 + places),
        .places = memory + experts + 1 + 2 * places,
    };
    std::fill_n(entries.first, experts + 1, 0);
    for (int64_t place = 0; place < places; ++place)
        if (const int32_t expert = routes.experts[place]; expert >= 0) ++entries.first[expert + 1];
    for (int64_t expert = 0; expert < experts; ++expert) entries.first[expert + 1] += entries.first[expert];
    entries.count = entries.first[experts];

    // Handing out an expert's entries moves its beginning to its end, which is where the next one begins.
    for (int64_t place = 0; place < places; ++place) {
        const int32_t expert = routes.experts[place];
        entries.places[place] = expert < 0 ? -1 : entries.first[expert]++;
        if (expert < 0) continue;
        entries.rows[entries.places[place]] = static_cast<int32_t>(place / top_k);
        entries.weights[entries.places[place]] = routes.weights[place];
    }
    std::copy_backward(entries.first, entries.first + experts, entries.first + experts + 1);
    entries.first[0] = 0;
    return entries;
}

const float* gather_floats(const ExpertsJob& job, const Entries& entries, int64_t features, Scratch& scratch) {
    auto* gathered = scratch.reserve<float>(entries.count * features);
    parallel_ranges(entries.count, std::max<int64_t>(grain / features, 1), [&](int64_t first, int64_t last) {
        for (int64_t entry = first; entry < last; ++entry) {
            const float* from = job.x + entries.rows[entry] * job.x_stride;
            float* to = gathered + entry * features;
            const float weight = job.weigh_inputs ? entries.weights[entry] : 1.0f;
            for (int64_t i = 0; i < features; ++i) to[i] = from[i] * weight;
        }
    });
    return gathered;
}

// A row is quantised once, however many experts it goes to.
QuantisedRows gather_quantised(const ExpertsJob& job, const Entries& entries, int64_t rows, int64_t features,
                               Workspace& memory) {
    const QuantisedRows from = reserve_quantised(rows, features, memory.quantised_rows);
    quantise(job.x, job.x_stride, rows, features, from);
    const QuantisedRows to = reserve_quantised(entries.count, features, memory.quantised_entries);
    parallel_ranges(entries.count, std::max<int64_t>(4 * grain / features, 1), [&](int64_t first, int64_t last) {
        for (int64_t entry = first; entry < last; ++entry) copy_row(from, entries.rows[entry], to, entry);
    });
    return to;
}

Inputs gather(const ExpertsJob& job, const Entries& entries, int64_t rows, Workspace& memory) {
    const int64_t features = job.gate_up->front().inputs();
    const bool quantised = any_takes(*job.gate_up, &Weight::takes_quantised);
    Inputs inputs;
    if (job.weigh_inputs || any_takes(*job.gate_up, &Weight::takes_floats)) {
        inputs.floats = gather_floats(job, entries, features, memory.gathered);
        inputs.stride = features;
    }
    if (quantised && job.weigh_inputs) {
        inputs.quantised = reserve_quantised(entries.count, features, memory.quantised_entries);
        quantise(inputs.floats, features, entries.count, features, inputs.quantised);
    } else if (quantised) {
        inputs.quantised = gather_quantised(job, entries, rows, features, memory);
    }
    return inputs;
}

// out [entries][outputs] = each expert's entries times its own weight.
void multiply_entries(const std::vector<Weight>& weights, const Entries& entries, const Inputs& inputs, float* out,
                      std::vector<Product>& products) {
    const int64_t outputs = weights.front().outputs();
    products.clear();
    for (size_t expert = 0; expert < weights.size(); ++expert) {
        const int64_t first = entries.first[expert];
        const int64_t count = entries.first[expert + 1] - first;
        if (count == 0) continue;
        Product product{.weight = &weights[expert], .tokens = count, .job = {}};
        inputs.set(product.job, first);
        product.job.out = out + first * outputs;
        product.job.out_stride = outputs;
        products.push_back(product);
    }
    multiply(products);
}

void add_up(const ExpertsJob& job, const Routes& routes, const Entries& entries, const float* made, int64_t rows) {
    const int64_t outputs = job.down->front().outputs();
    const int64_t top_k = job.routing.top_k;
    parallel_ranges(rows, std::max<int64_t>(grain / (top_k * outputs), 1), [&](int64_t first, int64_t last) {
        for (int64_t row = first; row < last; ++row) {
            float* to = job.out + row * outputs;
            std::fill_n(to, outputs, 0.0f);
            for (int64_t place = row * top_k; place < (row + 1) * top_k; ++place) {
                const float weight = routes.weights[place];
                if (entries.places[place] < 0) {
                    for (int64_t i = 0; i < outputs; ++i) to[i] += weight;
                    continue;
                }
                const float* from = made + entries.places[place] * outputs;
                const float factor = job.weigh_inputs ? 1.0f : weight;
                for (int64_t i = 0; i < outputs; ++i) to[i] += from[i] * factor;
            }
        }
    });
}

void mix_some(const ExpertsJob& job, Workspace& memory) {
    const int64_t rows = job.logits.rows;
    const int64_t places = rows * job.routing.top_k;
    auto* numbers = memory.routes.reserve<int32_t>(2 * places);
    const Routes routes{numbers, reinterpret_cast<float*>(numbers + places)};
    route(job.logits, job.routing, routes, memory.routing);
    const Entries entries = entries_of(routes, rows, job.routing.top_k, job.logits.experts, memory.entries);

    const Inputs inputs = gather(job, entries, rows, memory);
    auto* hidden = memory.hidden.reserve<float>(entries.count * job.gate_up->front().outputs());
    multiply_entries(*job.gate_up, entries, inputs, hidden, memory.products);
    const Inputs activated =
        activate_hidden(hidden, entries.count, job.down->front().inputs(), job.gating,
                        any_takes(*job.down, &Weight::takes_quantised), memory.quantised_hidden);
    auto* made = memory.made.reserve<float>(entries.count * job.down->front().outputs());
    multiply_entries(*job.down, entries, activated, made, memory.products);
    add_up(job, routes, entries, made, rows);
}

}  // namespace

void mix_experts(const ExpertsJob& job) {
    thread_local Workspace memory;
    const int64_t outputs = job.down->front().outputs();
    const int64_t row_bytes =
        job.routing.top_k * (job.gate_up->front().outputs() + outputs) * static_cast<int64_t>(sizeof(float));
    const int64_t together = std::max<int64_t>(most_bytes / row_bytes, 1);
    for (int64_t row = 0; row < job.logits.rows; row += together) {
        ExpertsJob some = job;
        some.x += row * job.x_stride;
        some.logits.data += row * job.logits.stride;
        some.logits.rows = std::min(together, job.logits.rows - row);
        some.out += row * outputs;
        mix_some(some, memory);
    }
}

void head_linear(const std::vector<Weight>& heads, const ConstVectors& x, float* out) {
    thread_local Scratch scratch;
    if (x.rows == 0) return;
    const bool quantised = any_takes(heads, &Weight::takes_quantised);
    const int64_t outputs = heads.front().outputs();
    QuantisedRows rows{};
    if (quantised) rows = reserve_quantised(x.heads * x.rows, x.columns, scratch);
    std::vector<Product> products;
    for (int64_t head = 0; head < x.heads; ++head) {
        Product product{.weight = &heads[head], .tokens = x.rows, .job = {}};
        product.job.x = x.data + head * x.head_stride;
        product.job.x_stride = x.row_stride;
        if (quantised) product.job.quantised = rows_from(rows, head * x.rows);
        product.job.out = out + head * outputs;
        product.job.out_stride = x.heads * outputs;
        products.push_back(product);
    }
    if (quantised) {
        const auto run = kernels().quantise;
        parallel_ranges(x.heads, std::max<int64_t>(grain / (x.rows * x.columns), 1), [&](int64_t first, int64_t last) {
            for (int64_t head = first; head < last; ++head)
                run(products[head].job.x, x.row_stride, x.columns, products[head].job.quantised, 0, x.rows);
        });
    }
    multiply(products);
}

}  // namespace freehold
