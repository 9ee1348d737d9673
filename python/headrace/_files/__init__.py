"""Flat files: from `FileItem`s to what readers need.

    FileItem -> stores (bytes as they are stored) -> compression (by magic) -> opened (what a reader reads) -> a reader

What a reader cannot read goes by `on_error` (skips).

A reader is a function over a page of `FileItem`s, as dlt's: `headrace.sources.filesystem` makes transformers of them.
"""
