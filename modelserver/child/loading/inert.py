"""Which statements of a handler's file can change nothing for an import that comes after them."""

from __future__ import annotations

import ast

_PURE = frozenset(
    """
    getLogger getenv get Path PurePath join dirname basename abspath realpath absolute resolve expanduser
    splitext exists isfile isdir is_file is_dir with_suffix
    compile namedtuple TypeVar ParamSpec NewType cast device dtype
    bool int float str bytes len list tuple dict set frozenset min max sum abs round sorted range zip
    enumerate isinstance issubclass hasattr getattr type object property partial field
    split rsplit splitlines strip lstrip rstrip lower upper title replace format encode decode
    startswith endswith keys values items copy escape maketrans find_spec
    uuid4 mkdtemp gettempdir default_rng time monotonic perf_counter now
    Lock RLock Event Condition Semaphore local Queue deque defaultdict OrderedDict Counter
    Compose Resize CenterCrop ToTensor Normalize
    """.split()  # noqa: SIM905  # each on a line of its own they would be 100
)
"""
Functions and methods, by their last name, that are called for what they return. All others may change what
an import finds: the environment, the search path, a module.
"""
_SIMPLE = (
    ast.Constant,
    ast.Name,
    ast.Attribute,
    ast.JoinedStr,
    ast.FormattedValue,
    ast.List,
    ast.Tuple,
    ast.Set,
    ast.Dict,
    ast.BinOp,
    ast.BoolOp,
    ast.UnaryOp,
    ast.Compare,
    ast.IfExp,
    ast.Subscript,
    ast.Slice,
    ast.Starred,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
    ast.comprehension,
    ast.keyword,
    ast.expr_context,
    ast.operator,
    ast.boolop,
    ast.unaryop,
    ast.cmpop,
)
"""Kinds of nodes whose evaluation has no effect when their parts have none."""


def is_inert(node: ast.AST) -> bool:
    """
    Whether running a statement, or evaluating an expression, leaves everything outside its module as it was.

    A "no" may be wrong, a "yes" is not for code that keeps to what its names say; imports are a "no".
    """
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        defaults = [default for default in (*node.args.defaults, *node.args.kw_defaults) if default]
        return _all(defaults) and _all(map(_decorated_by, node.decorator_list))
    if isinstance(node, ast.ClassDef):
        heads = (*node.bases, *(keyword.value for keyword in node.keywords))
        return _all(heads) and _all(map(_decorated_by, node.decorator_list)) and _all(node.body)
    if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return all(map(_is_own, targets)) and (node.value is None or is_inert(node.value))
    if isinstance(node, ast.Delete):
        return all(map(_is_own, node.targets))
    if isinstance(node, ast.Expr):
        return is_inert(node.value)
    if isinstance(node, ast.If):
        return is_inert(node.test) and _all((*node.body, *node.orelse))
    return isinstance(node, ast.Pass) or _is_inert_expression(node)


def _all(nodes: object) -> bool:
    return all(is_inert(node) for node in nodes)  # type: ignore[attr-defined]  # any iterable of nodes


def _is_inert_expression(node: ast.AST) -> bool:
    if isinstance(node, ast.Lambda):
        return _all([default for default in (*node.args.defaults, *node.args.kw_defaults) if default])
    if isinstance(node, ast.Call):
        return _last_name(node.func) in _PURE and _all(ast.iter_child_nodes(node))
    return isinstance(node, _SIMPLE) and all(map(_is_inert_expression, ast.iter_child_nodes(node)))


def _last_name(function: ast.expr) -> str | None:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else None


def _decorated_by(decorator: ast.expr) -> ast.AST:
    """The part of a decorator that must be inert: not its own call, which is about what it decorates."""
    if isinstance(decorator, ast.Call):
        return ast.Tuple([*decorator.args, *(keyword.value for keyword in decorator.keywords)], ast.Load())
    return decorator


def _is_own(target: ast.expr) -> bool:
    """Whether an assignment's target is a name of the module itself."""
    if isinstance(target, ast.Tuple | ast.List):
        return all(map(_is_own, target.elts))
    return isinstance(target.value if isinstance(target, ast.Starred) else target, ast.Name)
