"""The rewrite rules: laws as data, by what they are about."""
