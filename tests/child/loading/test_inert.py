"""What may stand before an import without a say in it."""

from __future__ import annotations

import ast

from twisted.trial.unittest import SynchronousTestCase

from modelserver.child.loading.inert import is_inert

INERT = (
    '"a docstring"',
    "pass",
    "SIZE = 3 * (2 + 1)",
    "logger = logging.getLogger(__name__)",
    "HERE = os.path.dirname(os.path.abspath(__file__))",
    "HERE: Path = Path(__file__).parent / 'files'",
    "DEVICE = torch.device('cuda' if torch.version.cuda else 'cpu')",
    "FIRST, *REST = [name.lower() for name in 'A B'.split()]",
    "PATTERN = re.compile(rf'{NAME}+')",
    "count += 1",
    "del count",
    "key = lambda row, size=3: launch(row)",
    "def handle(data, context=None):\n    os.environ['A'] = 'b'\n    launch()",
    "async def handle(data): ...",
    "@torch.no_grad()\ndef handle(data): launch()",
    "class Model(nn.Module):\n    size = 3\n    @property\n    def name(self): return launch()",
    "if sys.version_info >= (3, 8):\n    SIZE = 4",
)
NOT_INERT = (
    "launch()",
    "x = launch()",
    "os.environ['A'] = B",
    "os.environ.update(A='b')",
    "collections.Callable = collections.abc.Callable",
    "torch.backends.cudnn.benchmark = True",
    "sys.path.insert(0, '/x')",
    "matplotlib.use('Agg')",
    "monkey.patch_all()",
    "import os",
    "from os import path",
    "for name in names: pass",
    "while False: pass",
    "with open(path) as file: pass",
    "exec('1')",
    "del os.environ['A']",
    "names[0] = 1",
    "x = [launch() for _ in range(2)]",
    "x = (lambda size=launch(): size)",
    "x = Path(launch())",
    "x = f'{launch()}'",
    "x = launch().strip()",
    "def handle(size=launch()): pass",
    "def handle(*, size=launch()): pass",
    "@decorate(launch())\ndef handle(): pass",
    "@launch().decorate\ndef handle(): pass",
    "class Model(make()): pass",
    "class Model:\n    launch()",
    "class Model(metaclass=make()): pass",
    "if launch(): pass",
    "if True:\n    import os",
    "x = (yield_ := launch())",
    "try:\n    pass\nexcept E: pass",
    "raise SystemExit",
    "global x",
)


class InertTests(SynchronousTestCase):
    """Statements, one at a time."""

    def test_inert(self) -> None:
        for source in INERT:
            self.assertEqual([True], [is_inert(node) for node in ast.parse(source).body], source)

    def test_not_inert(self) -> None:
        for source in NOT_INERT:
            self.assertEqual([False], [is_inert(node) for node in ast.parse(source).body], source)
