"""The recipe of `pebble`, the small model that the package carries.

phrases -> grammar -> tokenizer -> train -> evaluate: each module is one step, README.md has the commands.
"""
