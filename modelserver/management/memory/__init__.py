"""The memory that workers take together: what is reserved for whom, and who leaves when it is short."""
