"""REST sources through the engine: what each resource asks for, and its answers in their order."""
