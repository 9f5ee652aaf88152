#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "bindings/weights.hpp"
#include "runtime/memory.hpp"
#include "runtime/pack.hpp"

namespace freehold {
namespace {

constexpr std::pair<const char*, Format> formats[] = {
    {"f32", Format::f32}, {"f16", Format::f16}, {"bf16", Format::bf16}, {"q4", Format::q4}, {"q8", Format::q8},
    {"mxfp4", Format::mxfp4}, {"fp8", Format::fp8}, {"q4_k", Format::q4_k}, {"q5_k", Format::q5_k},
    {"q6_k", Format::q6_k}};

Format format_of(const std::string& name) {
    for (const auto& [known, format] : formats)
        if (name == known) return format;
    refuse("format is '", name, "', must be f32, f16, bf16, q4, q8, mxfp4, fp8, q4_k, q5_k or q6_k");
}

std::string name_of(Format format) {
    for (const auto& [known, candidate] : formats)
        if (format == candidate) return known;
    return {};
}

void check_superblocks(Format format, int64_t columns) {
    if (has_superblocks(format) && columns % superblock_columns != 0)
        refuse(columns, " columns do not fill superblocks of ", superblock_columns);
}

void check_shape(int64_t rows, int64_t columns) {
    in_range("rows", rows, 1, most_int32);
    in_range("columns", columns, 1, most_int32);
    if (rows > most_elements / columns) refuse(rows, " x ", columns, " elements are more than ", most_elements);
}

const void* scale_array(const Array& array, const char* name, nb::dlpack::dtype type, int64_t size) {
    require_dimensions(array, name, 1);
    require_size(array, name, 0, size);
    require_contiguous(array, name, 0);
    require_type(array, name, type);
    return array.data();
}

// Formats whose floats have scales of a fixed kind and nothing else.
void set_float_scales(PackedMatrix& packed, const Array& scales) {
    const int64_t rows = packed.panels() * panel_rows;
    if (packed.format == Format::fp8) {
        packed.scales = scale_array(scales, "scales", nb::dtype<float>(), rows * packed.fp8_blocks());
    } else {
        packed.offset = mxfp4_offset;
        packed.scales = scale_array(scales, "scales", nb::dtype<uint8_t>(), rows * packed.blocks());
    }
}

Matrix make_matrix(const std::string& format_name, int64_t rows, int64_t columns, const Array& codes,
                   std::optional<Array> scales, std::optional<Array> minimums, int64_t offset) {
    const Format format = format_of(format_name);
    check_shape(rows, columns);
    check_superblocks(format, columns);
    const auto* bytes = vector_of<uint8_t>(codes, "codes", packed_bytes(format, rows, columns));
    if (reinterpret_cast<uintptr_t>(bytes) % sizeof(float) != 0) refuse("codes lie at an odd address");
    PackedMatrix packed{
        .format = format,
        .half_scales = false,
        .offset = static_cast<int>(offset),
        .rows = rows,
        .columns = columns,
        .codes = bytes,
        .scales = nullptr,
        .minimums = nullptr,
    };
    if (has_superblocks(format) || (!is_quantised(format) && format != Format::fp8)) {
        if (has_superblocks(format) && offset != 0)
            refuse("a weight of format ", format_name, " has no offset of its own");
        if (format == Format::q6_k) packed.offset = q6_k_offset;
        if (scales || minimums) refuse("a weight of format ", format_name, " has neither scales nor minimums beside it");
        return {packed, codes, {}, {}};
    }
    if (!scales) refuse("a weight of format ", format_name, " needs scales");
    if (format == Format::fp8 || format == Format::mxfp4) {
        if (minimums || offset != 0)
            refuse("a weight of format ", format_name, " has neither minimums nor an offset of its own");
        set_float_scales(packed, *scales);
        return {packed, codes, *scales, {}};
    }
    in_range("offset", offset, 0, format == Format::q4 ? 15 : 0);
    packed.half_scales = scales->dtype() == half_type;
    const int64_t cells = packed.panels() * packed.blocks() * panel_rows;
    const auto type = packed.half_scales ? half_type : nb::dtype<float>();
    packed.scales = scale_array(*scales, "scales", type, cells);
    if (minimums) packed.minimums = scale_array(*minimums, "minimums", type, cells);
    return {packed, codes, *scales, minimums.value_or(Array())};
}

// A matrix that can tell what it was made from.
Matrix remembered(const std::string& format, int64_t rows, int64_t columns, const Array& codes,
                  std::optional<Array> scales, std::optional<Array> minimums, int64_t offset) {
    Matrix matrix = make_matrix(format, rows, columns, codes, std::move(scales), std::move(minimums), offset);
    matrix.offset = offset;
    return matrix;
}

using Biases = std::vector<std::optional<Array>>;

LinearWeight make_weight(const std::vector<Matrix>& matrices, const std::optional<Biases>& bias) {
    if (matrices.empty()) refuse("a weight needs at least one part");
    if (bias && bias->size() != matrices.size())
        refuse("there are ", bias->size(), " biases for ", matrices.size(), " parts");
    LinearWeight result;
    int64_t outputs = 0;
    for (size_t i = 0; i < matrices.size(); ++i) {
        const PackedMatrix& packed = matrices[i].packed;
        if (packed.columns != matrices.front().packed.columns)
            refuse("part ", i, " has ", packed.columns, " columns, but part 0 has ", matrices.front().packed.columns);
        outputs = in_range("outputs", outputs + packed.rows, 1, most_int32);
        Part part{packed, {}};
        if (bias && (*bias)[i]) {
            const auto* values = vector_of<float>(*(*bias)[i], "bias", packed.rows);
            part.bias.assign(packed.panels() * panel_rows, 0.0f);
            std::copy(values, values + packed.rows, part.bias.begin());
        }
        result.weight.parts.push_back(std::move(part));
        result.matrices.push_back(matrices[i]);
    }
    return result;
}

using NumpyArray = nb::ndarray<nb::numpy, nb::ro>;

// The array that a matrix was made from, without a copy.
std::optional<NumpyArray> array_of(const Array& array) {
    return array.is_valid() ? std::optional<NumpyArray>(NumpyArray(array)) : std::nullopt;
}

// A copy of each part's bias, without what pads it.
std::vector<std::optional<nb::ndarray<nb::numpy, float, nb::ndim<1>>>> biases_of(const LinearWeight& weight) {
    std::vector<std::optional<nb::ndarray<nb::numpy, float, nb::ndim<1>>>> biases;
    for (const Part& part : weight.weight.parts) {
        if (part.bias.empty()) {
            biases.emplace_back(std::nullopt);
            continue;
        }
        const auto rows = static_cast<size_t>(part.matrix.rows);
        auto values = std::make_unique<float[]>(rows);
        std::copy_n(part.bias.begin(), rows, values.get());
        float* data = values.release();
        const nb::capsule owner(data, [](void* pointer) noexcept { delete[] static_cast<float*>(pointer); });
        biases.emplace_back(nb::ndarray<nb::numpy, float, nb::ndim<1>>(data, {rows}, owner));
    }
    return biases;
}

auto empty(int64_t bytes) {
    in_range("bytes", bytes, 0, most_elements);
    Memory memory = allocate(bytes);
    auto* data = reinterpret_cast<uint8_t*>(memory.get());
    nb::capsule owner(memory.release(), [](void* pointer) noexcept { FreeMemory()(pointer); });
    return nb::ndarray<nb::numpy, uint8_t, nb::ndim<1>>(data, {static_cast<size_t>(bytes)}, owner);
}

// Rows of `source` bytes go to row `first` of `out`, which holds whole panels.
struct Target {
    Format format;
    uint8_t* out;
};

Target target_of(const std::string& name, int64_t count, int64_t columns, int64_t first, const WritableArray& out) {
    const Format format = format_of(name);
    check_shape(count, columns);
    check_superblocks(format, columns);
    in_range("first", first, 0, most_int32);
    check_shape(first + count, columns);
    if (first % panel_rows != 0) refuse("first is ", first, ", must be a multiple of ", panel_rows);
    require_dimensions(out, "out", 1);
    const int64_t needed = packed_bytes(format, first + count, columns);
    if (static_cast<int64_t>(out.shape(0)) < needed)
        refuse("out has ", out.shape(0), " bytes, must have at least ", needed);
    return {format, contiguous<WritableArray, uint8_t>(out, "out")};
}

void bind_pack_floats(const Array& values, const std::string& source, const std::string& target, int64_t count,
                      int64_t columns, int64_t first, const WritableArray& out) {
    const Target to = target_of(target, count, columns, first, out);
    const Format from = format_of(source);
    const auto is_float = [](Format format) { return !is_quantised(format) && format != Format::fp8; };
    if (!is_float(from) || !is_float(to.format)) refuse("cannot pack floats from ", source, " to ", target);
    const auto* bytes = vector_of<uint8_t>(values, "values", count * columns * (from == Format::f32 ? 4 : 2));
    bool fits = false;
    {
        nb::gil_scoped_release release;
        fits = pack_floats(bytes, from, to.format, count, columns, first, to.out);
    }
    if (!fits) refuse("a weight is beyond float16's largest number, 65504");
}

void bind_pack_codes(const Array& codes, const std::string& target, int64_t first, const WritableArray& out) {
    require_dimensions(codes, "codes", 2);
    const auto count = static_cast<int64_t>(codes.shape(0));
    const auto columns = static_cast<int64_t>(codes.shape(1));
    const Target to = target_of(target, count, columns, first, out);
    const bool is_float8 = to.format == Format::fp8;
    if (has_superblocks(to.format) || (!is_quantised(to.format) && !is_float8))
        refuse("cannot pack codes to ", target);
    const auto* bytes = to.format == Format::q8
                            ? reinterpret_cast<const uint8_t*>(contiguous<Array, const int8_t>(codes, "codes"))
                            : contiguous<Array, const uint8_t>(codes, "codes");
    bool fits = false;
    {
        nb::gil_scoped_release release;
        fits = is_float8 ? pack_float8(bytes, count, columns, first, to.out)
                         : pack_codes(bytes, to.format, count, columns, first, to.out);
    }
    if (!fits) refuse(is_float8 ? "an fp8 code is NaN" : "a code of four bits is over 15");
}

void bind_pack_superblocks(const Array& blocks, const std::string& target, int64_t count, int64_t columns,
                           int64_t first, const WritableArray& out) {
    const Target to = target_of(target, count, columns, first, out);
    if (!has_superblocks(to.format)) refuse("cannot pack superblocks to ", target);
    const int64_t size = count * (columns / superblock_columns) * ggml_block_bytes(to.format);
    const auto* bytes = vector_of<uint8_t>(blocks, "blocks", size);
    nb::gil_scoped_release release;
    pack_superblocks(bytes, to.format, count, columns, first, to.out);
}

}  // namespace

void bind_weights(nb::module_& module) {
    using namespace nb::literals;
    nb::class_<Matrix>(module, "Matrix")
        .def(nb::new_(&remembered), "format"_a, "rows"_a, "columns"_a, "codes"_a, "scales"_a = nb::none(),
             "minimums"_a = nb::none(), "offset"_a = 0)
        .def_prop_ro("format", [](const Matrix& matrix) { return name_of(matrix.packed.format); })
        .def_prop_ro("rows", [](const Matrix& matrix) { return matrix.packed.rows; })
        .def_prop_ro("columns", [](const Matrix& matrix) { return matrix.packed.columns; })
        .def_prop_ro("half_scales", [](const Matrix& matrix) { return matrix.packed.half_scales; })
        .def_prop_ro("codes", [](const Matrix& matrix) { return array_of(matrix.codes); })
        .def_prop_ro("scales", [](const Matrix& matrix) { return array_of(matrix.scales); })
        .def_prop_ro("minimums", [](const Matrix& matrix) { return array_of(matrix.minimums); })
        .def_prop_ro("offset", [](const Matrix& matrix) { return matrix.offset; })
        .def_prop_ro("bytes", &Matrix::bytes);
    nb::class_<LinearWeight>(module, "LinearWeight")
        .def(nb::new_(&make_weight), "parts"_a, "bias"_a = nb::none())
        .def_prop_ro("inputs", [](const LinearWeight& weight) { return weight.weight.inputs(); })
        .def_prop_ro("outputs", [](const LinearWeight& weight) { return weight.weight.outputs(); })
        .def_ro("parts", &LinearWeight::matrices)
        .def_prop_ro("biases", biases_of, nb::rv_policy::move);
    module.def("empty", empty, "bytes"_a);
    module.def("packed_bytes", [](const std::string& format, int64_t rows, int64_t columns) {
        check_shape(rows, columns);
        return packed_bytes(format_of(format), rows, columns);
    }, "format"_a, "rows"_a, "columns"_a);
    module.def("pack_floats", bind_pack_floats, "values"_a, "source"_a, "target"_a, "count"_a, "columns"_a, "first"_a,
               "out"_a);
    module.def("pack_codes", bind_pack_codes, "codes"_a, "target"_a, "first"_a, "out"_a);
    module.def("pack_superblocks", bind_pack_superblocks, "blocks"_a, "target"_a, "count"_a, "columns"_a, "first"_a,
               "out"_a);
}

}  // namespace freehold
