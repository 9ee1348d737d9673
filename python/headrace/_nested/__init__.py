"""Nested Arrow and Parquet as relational tables."""
