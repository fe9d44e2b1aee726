"""Libraries are imported before the fork, the archive's files are not, and a clash of the two is told."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from modelserver.child.loading.loader import prepare
from modelserver.child.loading.preload import LibraryClash, preload_libraries
from tests.harness.loops import load_request
from tests.harness.packages import needs_torch

EXPLODES = "raise SystemExit('nothing of the archive runs')\n"


class PreloadTests(SynchronousTestCase):
    """An archive and installed libraries, in two folders of the search path."""

    def setUp(self) -> None:
        self.folder, self.libraries = (Path(self.mktemp()).absolute() for _ in range(2))
        self.folder.mkdir(parents=True)
        self.libraries.mkdir(parents=True)
        self.before = sys.modules.copy(), sys.path[:], os.getcwd(), os.environ.copy()
        self.addCleanup(self.restore)

    def restore(self) -> None:
        """Have the process as it was."""
        modules, sys.path[:], folder, environment = self.before
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        for name in sys.modules.keys() - modules.keys():
            if name.startswith(("lib_", "my_")):
                del sys.modules[name]

    def preload(
        self,
        archive: Mapping[str, str],
        libraries: Mapping[str, str],
        handler: str = "my_handler.py",
        manifest: dict[str, object] | None = None,
    ) -> set[str]:
        """Preload for an archive; the new modules."""
        for folder, files in ((self.folder, archive), (self.libraries, libraries)):
            for name, source in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(source)
        request = load_request(
            folder=str(self.folder),
            handler=handler,
            search_path=(str(self.libraries),),
            manifest=manifest,
        )
        prepare(request)
        preload_libraries(request)
        return sys.modules.keys() - self.before[0].keys()

    def test_libraries_are_imported_and_the_archives_modules_are_not(self) -> None:
        archive = {
            "my_handler.py": "import lib_one\nfrom my_model import x\nfrom lib_pack import sub\n",
            "my_model.py": f"from lib_pack.other import thing\n{EXPLODES}",
        }
        libraries = {
            "lib_one.py": "",
            "lib_pack/__init__.py": "",
            "lib_pack/other.py": "thing = 3",
            "lib_pack/sub.py": "",
        }
        loaded = self.preload(archive, libraries)
        self.assertEqual(
            {"lib_one", "lib_pack", "lib_pack.other"}, {name for name in loaded if "lib_" in name}
        )
        self.assertNotIn("my_handler", loaded)
        self.assertNotIn("my_model", loaded)
        self.assertEqual({"my_handler.py", "my_model.py"}, set(os.listdir(self.folder)))

    def test_archives_modules_can_be_imported_afterwards(self) -> None:
        self.preload({"my_handler.py": "import lib_one\n", "my_more.py": "x = 3"}, {"lib_one.py": ""})
        self.assertEqual(3, __import__("my_more").x)

    def test_environment_is_set_for_libraries_and_then_as_before(self) -> None:
        os.environ["MY_SECOND"] = "there"
        source = "import os\nos.environ['MY_FIRST'] = 'yes'\nos.environ.setdefault('MY_SECOND', 'no')\n"
        library = "import os\nseen = [os.environ.get(f'MY_{name}') for name in ('FIRST', 'SECOND')]\n"
        self.preload({"my_handler.py": f"{source}import lib_one"}, {"lib_one.py": library})
        self.assertEqual(["yes", "there"], sys.modules["lib_one"].seen)
        self.assertNotIn("MY_FIRST", os.environ)
        self.assertEqual("there", os.environ["MY_SECOND"])

    def test_library_that_asks_for_what_the_archive_has_is_a_clash(self) -> None:
        for ask in (
            "import my_extra",
            "try:\n    import my_extra\nexcept ImportError: pass",
            "from importlib.util import find_spec\nfind_spec('my_extra')",
        ):
            with self.subTest(ask):
                archive = {"my_handler.py": "import lib_one\n", "my_extra.py": EXPLODES}
                error = self.assertRaises(LibraryClash, self.preload, archive, {"lib_one.py": ask})
                self.assertRegex(str(error), "my_extra")
                self.restore()

    def test_installed_module_of_the_same_name_is_a_clash(self) -> None:
        archive = {"my_handler.py": "import lib_one\n", "lib_two.py": EXPLODES}
        libraries = {"lib_one.py": "import lib_two", "lib_two.py": ""}
        error = self.assertRaises(LibraryClash, self.preload, archive, libraries)
        self.assertEqual("libraries import what the archive has, too (lib_two)", str(error))

    def test_module_that_is_loaded_in_every_worker_is_a_clash(self) -> None:
        error = self.assertRaises(
            LibraryClash, self.preload, {"my_handler.py": "", "socket.py": EXPLODES}, {}
        )
        self.assertEqual("libraries import what the archive has, too (socket)", str(error))

    def test_folder_of_a_librarys_name_is_none(self) -> None:
        loaded = self.preload(
            {"my_handler.py": "import lib_one\n", "lib_one/data.txt": ""}, {"lib_one/__init__.py": ""}
        )
        self.assertIn("lib_one", loaded)

    def test_parts_of_one_package_in_both_places_are_a_clash(self) -> None:
        archive = {"my_handler.py": "import lib_one.theirs\n", "lib_one/ours.py": ""}
        self.assertRaises(LibraryClash, self.preload, archive, {"lib_one/theirs.py": ""})

    def test_library_that_fails_half_way_is_a_clash(self) -> None:
        for source in ("import no_such_module", "1 / 0", "raise SystemExit", "raise ImportError('no')"):
            with self.subTest(source):
                archive = {"my_handler.py": "try:\n    import lib_one\nexcept Exception: pass\n"}
                error = self.assertRaises(LibraryClash, self.preload, archive, {"lib_one.py": source})
                self.assertRegex(str(error), "^the import of lib_one fails: ")
                self.restore()

    def test_missing_names_and_modules_leave_the_rest_to_the_workers(self) -> None:
        for wish in ("import lib_none", "import lib_one.none", "from lib_one import none"):
            with self.subTest(wish):
                loaded = self.preload(
                    {"my_handler.py": f"{wish}\nimport lib_two\n"}, {"lib_one.py": "", "lib_two.py": ""}
                )
                self.assertNotIn("lib_two", loaded)
                self.restore()

    def test_handler_that_is_installed_is_read_and_not_imported(self) -> None:
        libraries = {
            "lib_pack/__init__.py": "",
            "lib_pack/service.py": "import lib_one\n" + EXPLODES,
            "lib_one.py": "",
            "lib_service.py": "import lib_two\n" + EXPLODES,
            "lib_two.py": "",
        }
        for handler, expected in (("lib_pack.service:handle", "lib_one"), ("lib_service:handle", "lib_two")):
            with self.subTest(handler):
                loaded = self.preload({}, libraries, handler)
                self.assertEqual({expected}, {name for name in loaded if name.startswith("lib_")})
                self.restore()

    def test_handler_that_a_library_imports_is_a_clash(self) -> None:
        libraries = {"lib_service.py": "import lib_one\n", "lib_one.py": "import lib_service\n"}
        error = self.assertRaises(LibraryClash, self.preload, {}, libraries, "lib_service:handle")
        self.assertEqual("the handler lib_service is imported before the fork", str(error))

    @needs_torch
    def test_our_handlers_import_their_library_and_that_of_the_models_file(self) -> None:
        archive = {"my_net.py": "import lib_one\n" + EXPLODES}
        self.preload(archive, {"lib_one.py": ""}, "image_classifier", {"model": {"modelFile": "my_net.py"}})
        wanted = {"torch", "PIL.Image", "lib_one"}
        self.assertEqual(wanted, sys.modules.keys() & {*wanted, "my_net"})

    def test_handler_that_is_nowhere_is_left_to_the_workers(self) -> None:
        self.preload({}, {}, "no_such_handler")
        self.preload({}, {}, "no_such.handler:handle")
