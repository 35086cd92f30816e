"""A workflow's graph, compiled once into a plan: validated, its loops nested, its templates and rules ready to run."""

from automate.graph.compiler import MAX_NODES, FindHandler, InvalidGraph, compile_graph, graph_problems
from automate.graph.plan import Edge, Node, OnError, Plan, Retry
from automate.graph.settings import Concurrency, GraphSettings

__all__ = [
    "MAX_NODES",
    "Concurrency",
    "Edge",
    "FindHandler",
    "GraphSettings",
    "InvalidGraph",
    "Node",
    "OnError",
    "Plan",
    "Retry",
    "compile_graph",
    "graph_problems",
]
