"""Benchmarks: the whole system beside the smallest raw SQL engine with the same guarantees, in one sitting."""
