"""The only place with SQL: Piccolo tables, named queries, one module per noun, and the embedded server."""
