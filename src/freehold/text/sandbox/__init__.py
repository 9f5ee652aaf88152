"""Chat templates come with model files, so they are run as code from a stranger.

Bounded are:

- what a template can reach: the values it is given and a list of harmless filters, functions and methods; nothing that
  begins with an underscore, nothing that changes a value, no files, no imports, no other templates;
- processor time, checked at every turn of a loop, every call and every part of the output (`budget.py` has all the
  figures); no threads, no signals, so an operation under way ends first, and each is kept short by what follows;
- the size of every value it makes, counted as printed (so that a list that holds another one twice, thirty levels deep,
  counts for what it would print), and the sum of all strings it makes;
- operations whose cost is not that of their result: ranges, repetition, powers, widths and precisions in formats,
  replacing, joining, searching from the right;
- the output, as it grows; the source, before it is compiled: its length and its number of words and signs.

Different from plain Jinja besides: `safe` does nothing and `escape` gives an ordinary string, because nothing is
escaped here and marked strings would escape what they are added to; and the filters `batch`, `filesizeformat`,
`pprint`, `random`, `slice`, `striptags`, `urlize`, `wordcount`, `wordwrap` and `xmlattr` do not exist, because no
released template that we know uses them.

Importing this package imports Jinja; `freehold.text.template` does so when a template is first used.
"""
