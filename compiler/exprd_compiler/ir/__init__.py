"""The intermediate representation: dtypes, types, nodes, graphs and their text."""
