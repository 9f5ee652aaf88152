"""The common form that every quantised type is unpacked to: integer codes, and scales that groups of them share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class GroupedTensor:
    """Integer codes along rows in groups that share a scale: value = scale * (code - offset) + minimum.

    Attributes:
        codes: [rows, columns] uint8 in 0..15 when bits is 4, int8 when bits is 8.
        scales: [rows, columns / group] float32.
        minimums: [rows, columns / group] float32, or None where every minimum is zero.
        bits: 4 or 8.
        group: columns that share a scale, 16 or 32.
        offset: subtracted from every code.
    """

    codes: npt.NDArray[np.uint8] | npt.NDArray[np.int8]
    scales: Float32Array
    minimums: Float32Array | None
    bits: int
    group: int
    offset: int = 0

    def float32(self) -> Float32Array:
        """Dequantised values, [rows, columns] float32."""
        rows, columns = self.codes.shape
        codes = self.codes.astype(np.float32).reshape(rows, columns // self.group, self.group) - np.float32(self.offset)
        # An infinite scale times zero is NaN, as in ggml, and what float32 cannot hold is infinite.
        with np.errstate(invalid="ignore", over="ignore"):
            values = codes * self.scales[:, :, None]
            if self.minimums is not None:
                values += self.minimums[:, :, None]
        result: Float32Array = values.reshape(rows, columns)
        return result
