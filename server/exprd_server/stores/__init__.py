"""Durable stores: SQLite files, checkpoints, and what looks after a state directory.

state.db        variables in chunks, call records, entries, runs   database, schema, chunks
acknowledged    the number of the last commit that was answered    marker
lock            held by whoever uses the directory                 folder
checkpoints/    one folder per checkpoint                          checkpoints, safetensors
"""
