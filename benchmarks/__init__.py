"""Benchmarks: the whole system beside the smallest raw SQL engine with its guarantees, in one sitting."""
