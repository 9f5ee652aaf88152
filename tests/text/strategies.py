"""Text for property tests: anything at all, and strings dense in what tokenizers treat specially."""

from __future__ import annotations

from hypothesis import strategies as st

TRICKY = " \n\t\r'sStTabcABC019.,!éÅ語ъ😀👩\u200d▁<>/|\u00a0\u3000\u0301\ufffd\x00"
texts = st.one_of(st.text(max_size=40), st.text(alphabet=TRICKY, max_size=60))
