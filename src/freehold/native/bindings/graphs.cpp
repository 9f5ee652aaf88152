#include "bindings/graphs.hpp"

#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/vector.h>

#include <algorithm>

#include "bindings/bindings.hpp"

namespace freehold {
namespace {

thread_local Graph* current = nullptr;

using Activations = nb::ndarray<nb::numpy, float>;

// Python gives a piece back by forgetting all arrays that lie in it.
struct Holder {
    std::shared_ptr<Arena> arena;
    std::byte* memory;

    ~Holder() { arena->give_back(memory); }
};

Activations empty(const std::shared_ptr<Arena>& arena, const std::vector<size_t>& shape) {
    int64_t elements = 1;
    for (const size_t size : shape) {
        in_range("a size of the array", static_cast<int64_t>(size), 0, most_elements / std::max<int64_t>(elements, 1));
        elements *= static_cast<int64_t>(size);
    }
    auto* holder = new Holder{arena, arena->take(static_cast<size_t>(elements) * sizeof(float))};
    const nb::capsule owner(holder, [](void* held) noexcept { delete static_cast<Holder*>(held); });
    return Activations(holder->memory, shape.size(), shape.data(), owner);
}

Activations borrowed(nb::handle arena, const Activations& array) {
    if (array.size() > 0 && !nb::cast<const Arena&>(arena).owns(array.data()))
        refuse("the array does not lie in this arena, so nothing would keep its memory");
    std::vector<size_t> shape;
    std::vector<int64_t> strides;
    for (size_t dimension = 0; dimension < array.ndim(); ++dimension) {
        shape.push_back(array.shape(dimension));
        strides.push_back(array.stride(dimension));
    }
    return Activations(array.data(), shape.size(), shape.data(), arena, strides.data());
}

// A thread that captures a graph keeps it alive.
void begin(nb::handle graph) {
    nb::cast<Graph&>(graph).begin();
    graph.inc_ref();
}

void end(nb::handle graph) {
    nb::cast<Graph&>(graph).end();
    graph.dec_ref();
}

}  // namespace

Graph* Graph::capturing() { return current; }

void Graph::begin() {
    if (current != nullptr) refuse("this thread captures another graph already");
    if (being_captured_) refuse("another thread captures the graph");
    if (!calls_.empty()) refuse("the graph has been captured already, with ", calls_.size(), " calls");
    current = this;
    being_captured_ = true;
}

void Graph::end() {
    if (current != this) refuse("this thread does not capture this graph");
    current = nullptr;
    being_captured_ = false;
}

void Graph::replay() const {
    if (current != nullptr) refuse("a graph cannot be replayed while this thread captures one");
    if (being_captured_) refuse("a graph cannot be replayed while another thread captures it");
    nb::gil_scoped_release release;
    for (const auto& call : calls_) call();
}

void bind_graphs(nb::module_& module) {
    using namespace nb::literals;
    nb::class_<Arena>(module, "Arena")
        .def(nb::init<>())
        .def("empty", empty, "shape"_a)
        .def("borrowed", borrowed, "array"_a);
    nb::class_<Graph>(module, "Graph")
        .def(nb::init<std::shared_ptr<Arena>>(), "arena"_a)
        .def("begin", begin)
        .def("end", end)
        .def("replay", &Graph::replay)
        .def_prop_ro("calls", &Graph::calls);
}

}  // namespace freehold
