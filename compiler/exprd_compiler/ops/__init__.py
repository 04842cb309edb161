"""The operations: each declared once, all collected in `table`."""
