#include <algorithm>

#include "runtime/isa.hpp"
#include "runtime/quantised.hpp"
#include "runtime/thread_pool.hpp"
#include "runtime/weight.hpp"

namespace freehold {
namespace {

// Activations that pass over a panel again and again should stay in the second-level cache.
constexpr int64_t activation_bytes = 256 << 10;
constexpr int64_t least_tokens = 16;
constexpr int64_t least_panels = 4;  // as many as the one-token kernels of quantised weights keep in flight
constexpr int64_t chunks_per_thread = 8;

int64_t divide_up(int64_t value, int64_t by) { return (value + by - 1) / by; }
int64_t round_up(int64_t value, int64_t multiple) { return divide_up(value, multiple) * multiple; }

// Tokens times panels of one product, for one thread.
struct Piece {
    const Product* product;
    int64_t first_token, last_token;
    int64_t first_panel, last_panel;
};

int64_t tokens_together(const Product& product) {
    const auto size = static_cast<int64_t>(product.weight->takes_quantised() ? sizeof(int8_t) : sizeof(float));
    return std::max(round_up(activation_bytes / (product.weight->inputs() * size), 4), least_tokens);
}

// Reading a panel takes about as long as multiplying it with one token.
int64_t cost_of_panel(const Product& product) { return 1 + std::min(product.tokens, tokens_together(product)); }

void add_pieces(const Product& product, int64_t cost_of_piece, std::vector<Piece>& pieces) {
    const int64_t tokens = tokens_together(product);
    const int64_t all_panels = product.weight->panels();
    const int64_t panels = round_up(divide_up(cost_of_piece, cost_of_panel(product)), least_panels);
    // All tokens of a panel follow each other, so that a thread finds its weights in a cache the next time.
    for (int64_t panel = 0; panel < all_panels; panel += panels)
        for (int64_t token = 0; token < product.tokens; token += tokens)
            pieces.push_back({&product, token, std::min(token + tokens, product.tokens), panel,
                              std::min(panel + panels, all_panels)});
}

void run(const Piece& piece) {
    const Kernels& kernel = kernels();
    LinearJob job = piece.product->job;
    int64_t first = piece.first_panel;
    int64_t last = piece.last_panel;
    for (const Part& part : piece.product->weight->parts) {
        const int64_t panels = part.matrix.panels();
        if (first < panels && last > 0) {
            job.matrix = &part.matrix;
            job.bias = part.bias.empty() ? nullptr : part.bias.data();
            kernel.linear(job, piece.first_token, piece.last_token, std::max<int64_t>(first, 0),
                          std::min(last, panels));
        }
        first -= panels;
        last -= panels;
        job.out += part.matrix.rows;
    }
}

}  // namespace

void multiply(std::span<const Product> products) {
    thread_local std::vector<Piece> pieces;
    int64_t cost = 0;
    for (const Product& product : products) cost += product.weight->panels() * cost_of_panel(product);
    const int64_t cost_of_piece = divide_up(cost, threads() * chunks_per_thread);
    pieces.clear();
    for (const Product& product : products) add_pieces(product, cost_of_piece, pieces);
    // By pointer: in another thread the name would mean that thread's own pieces.
    parallel_for(static_cast<int64_t>(pieces.size()), most_threads,
                 [all = pieces.data()](int64_t piece, int) { run(all[piece]); });
}

void linear(const Weight& weight, const float* x, int64_t x_stride, int64_t tokens, float* out, bool adds) {
    thread_local Scratch scratch;
    if (tokens == 0) return;
    Product product{.weight = &weight, .tokens = tokens, .job = {}};
    product.job.x = x;
    product.job.x_stride = x_stride;
    product.job.out = out;
    product.job.out_stride = weight.outputs();
    product.job.adds = adds;
    if (weight.takes_quantised()) {
        product.job.quantised = reserve_quantised(tokens, weight.inputs(), scratch);
        quantise(x, x_stride, tokens, weight.inputs(), product.job.quantised);
    }
    multiply({&product, 1});
}

}  // namespace freehold
