#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "runtime/isa.hpp"
#include "runtime/memory.hpp"
#include "runtime/thread_pool.hpp"

namespace freehold {

std::string type_name(nb::dlpack::dtype type) {
    const char* kind = "unknown";
    switch (static_cast<nb::dlpack::dtype_code>(type.code)) {
        case nb::dlpack::dtype_code::Int: kind = "int"; break;
        case nb::dlpack::dtype_code::UInt: kind = "uint"; break;
        case nb::dlpack::dtype_code::Float: kind = "float"; break;
        case nb::dlpack::dtype_code::Complex: kind = "complex"; break;
        case nb::dlpack::dtype_code::Bool: return "bool";
        default: break;
    }
    return kind + std::to_string(type.bits);
}

int64_t in_range(const char* name, int64_t value, int64_t least, int64_t most) {
    if (value < least || value > most) refuse(name, " is ", value, ", must be from ", least, " to ", most);
    return value;
}

}  // namespace freehold

NB_MODULE(_kernels, module) {
    namespace nb = nanobind;
    using namespace freehold;
    // At exit, models that are still referenced are none of the user's business.
    nb::set_leak_warnings(false);
    module.doc() = "Freehold's native kernels. freehold.ops.native is the interface to them.";
    module.def("isa", [] { return std::string(kernels().name); });
    module.def("available_isas", available_isas);
    module.def("use_isa", use_isa, nb::arg("name"));
    module.def("threads", threads, nb::call_guard<nb::gil_scoped_release>());
    module.def("set_threads", set_threads, nb::arg("count"), nb::call_guard<nb::gil_scoped_release>());
    module.def("keep_freed_memory", keep_freed_memory);
    bind_graphs(module);
    bind_weights(module);
    bind_products(module);
    bind_rows(module);
    bind_attention(module);
    bind_delta(module);
    bind_experts(module);
    bind_sampling(module);
}
