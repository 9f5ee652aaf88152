// Arrays from Python, checked. Nothing that a caller passes may lead the kernels outside an array.
//
// Every refusal is a ValueError that names the argument, what it is and what it has to be.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <stdexcept>
#include <string>

#include "kernels/table.hpp"

namespace freehold {

namespace nb = nanobind;

using Array = nb::ndarray<nb::ro, nb::device::cpu>;
using WritableArray = nb::ndarray<nb::device::cpu>;

template <typename... Parts>
[[noreturn]] void refuse(const Parts&... parts) {
    std::string message;
    const auto text = [](const auto& part) {
        if constexpr (std::is_arithmetic_v<std::decay_t<decltype(part)>>)
            return std::to_string(part);
        else
            return std::string(part);
    };
    ((message += text(parts)), ...);
    throw std::invalid_argument(message);
}

std::string type_name(nb::dlpack::dtype type);

inline constexpr nb::dlpack::dtype half_type{static_cast<uint8_t>(nb::dlpack::dtype_code::Float), 16, 1};

// A whole number in [least, most].
int64_t in_range(const char* name, int64_t value, int64_t least, int64_t most);

inline constexpr int64_t most_elements = int64_t{1} << 40;  // of one array: products of two sizes stay in 64 bits
inline constexpr int64_t most_int32 = (int64_t{1} << 31) - 1;

template <typename AnyArray>
void require_dimensions(const AnyArray& array, const char* name, size_t dimensions) {
    if (array.ndim() != dimensions) refuse(name, " has ", array.ndim(), " dimensions, must have ", dimensions);
}

template <typename AnyArray>
void require_type(const AnyArray& array, const char* name, nb::dlpack::dtype type) {
    if (array.dtype() != type) refuse(name, " is of type ", type_name(array.dtype()), ", must be ", type_name(type));
    if (reinterpret_cast<uintptr_t>(array.data()) % (type.bits / 8) != 0)
        refuse(name, " lies at an address that is not a multiple of ", type.bits / 8);
}

template <typename AnyArray>
void require_size(const AnyArray& array, const char* name, size_t dimension, int64_t size) {
    if (static_cast<int64_t>(array.shape(dimension)) != size)
        refuse(name, ".shape[", dimension, "] is ", array.shape(dimension), ", must be ", size);
}

// Dimensions from `from` on must follow each other without gaps. NumPy gives arrays without elements strides of zero.
template <typename AnyArray>
void require_contiguous(const AnyArray& array, const char* name, size_t from) {
    if (array.size() == 0) return;
    int64_t expected = 1;
    for (size_t i = array.ndim(); i-- > from;) {
        const auto size = static_cast<int64_t>(array.shape(i));
        if (size > 1 && array.stride(i) != expected)
            refuse(name, " has stride ", array.stride(i), " in dimension ", i, ", must have ", expected);
        expected *= size;
    }
}

template <typename AnyArray, typename T>
T* contiguous(const AnyArray& array, const char* name) {
    require_type(array, name, nb::dtype<std::remove_const_t<T>>());
    require_contiguous(array, name, 0);
    return static_cast<T*>(array.data());
}

// [size]; any size where it is negative.
template <typename T>
const T* vector_of(const Array& array, const char* name, int64_t size = -1) {
    require_dimensions(array, name, 1);
    if (size >= 0) require_size(array, name, 0, size);
    return contiguous<Array, const T>(array, name);
}
template <typename T>
T* writable_vector(const WritableArray& array, const char* name, int64_t size) {
    require_dimensions(array, name, 1);
    require_size(array, name, 0, size);
    return contiguous<WritableArray, T>(array, name);
}
template <typename T>
T* writable_matrix(const WritableArray& array, const char* name, int64_t rows, int64_t columns) {
    require_dimensions(array, name, 2);
    require_size(array, name, 0, rows);
    require_size(array, name, 1, columns);
    return contiguous<WritableArray, T>(array, name);
}

// Rows of floats that may lie apart, such as a slice of each row of something wider.
template <typename T>
struct Rows {
    T* data;
    int64_t rows;
    int64_t stride;
};

template <typename AnyArray, typename T = float>
auto rows_of(const AnyArray& array, const char* name, size_t dimensions) {
    require_dimensions(array, name, dimensions);
    require_type(array, name, nb::dtype<T>());
    require_contiguous(array, name, 1);
    int64_t width = 1;
    for (size_t i = 1; i < dimensions; ++i) width *= static_cast<int64_t>(array.shape(i));
    const auto rows = static_cast<int64_t>(array.shape(0));
    const int64_t stride = rows > 1 ? array.stride(0) : width;
    if (stride < width) refuse(name, " has rows ", stride, " elements apart, must be at least ", width);
    using Element = std::conditional_t<std::is_same_v<AnyArray, Array>, const T, T>;
    return Rows<Element>{static_cast<Element*>(array.data()), rows, stride};
}

// [tokens, columns] or [tokens, heads, columns], rows and heads any distance apart. Heads without a gap between them
// are one where `joined`.
template <typename AnyArray>
auto vectors_of(const AnyArray& array, const char* name, bool joined) {
    if (array.ndim() != 2 && array.ndim() != 3) refuse(name, " has ", array.ndim(), " dimensions, must have 2 or 3");
    require_type(array, name, nb::dtype<float>());
    require_contiguous(array, name, array.ndim() - 1);
    using Element = std::conditional_t<std::is_same_v<AnyArray, Array>, const float, float>;
    VectorsOf<Element> vectors{};
    vectors.data = static_cast<Element*>(array.data());
    vectors.rows = static_cast<int64_t>(array.shape(0));
    vectors.heads = array.ndim() == 3 ? static_cast<int64_t>(array.shape(1)) : 1;
    vectors.columns = static_cast<int64_t>(array.shape(array.ndim() - 1));
    vectors.head_stride = vectors.heads > 1 && array.size() > 0 ? array.stride(1) : vectors.columns;
    if (vectors.head_stride < vectors.columns)
        refuse(name, " has heads ", vectors.head_stride, " elements apart, must be at least ", vectors.columns);
    const int64_t width = vectors.heads > 0 ? (vectors.heads - 1) * vectors.head_stride + vectors.columns : 0;
    vectors.row_stride = vectors.rows > 1 && array.size() > 0 ? array.stride(0) : width;
    if (vectors.row_stride < width)
        refuse(name, " has rows ", vectors.row_stride, " elements apart, must be at least ", width);
    if (joined && vectors.head_stride == vectors.columns) {
        vectors.columns *= vectors.heads;
        vectors.heads = 1;
        vectors.head_stride = vectors.columns;
    }
    return vectors;
}

}  // namespace freehold
