"""Sources that take the whole way natively; each with the interface of dlt's source of the same name."""
