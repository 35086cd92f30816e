"""Templates: `{{ path.to.value | filter }}` inside any JSON value, over plain data, in a single pass."""

from automate_core.templating.expressions import TemplateSyntaxError
from automate_core.templating.filters import FilterError
from automate_core.templating.lookups import UndefinedPath
from automate_core.templating.reads import PathRead, path_reads
from automate_core.templating.template import Template, compile_template, is_fixed
from automate_core.templating.text import TemplateError

__all__ = [
    "FilterError",
    "PathRead",
    "Template",
    "TemplateError",
    "TemplateSyntaxError",
    "UndefinedPath",
    "compile_template",
    "is_fixed",
    "path_reads",
]
