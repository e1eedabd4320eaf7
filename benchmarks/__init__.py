"""batchrun beside what people would use instead: the same table, the same function, in turn, in one go."""
