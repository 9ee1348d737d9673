"""dlt's normalize step in the engine: extracted files become load files."""
