"""The list of models to load at the start."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.config.model_list import LoadList, StartupModel, parse_load_models

ROWS = (
    ("all", LoadList(everything=True)),
    ("ALL", LoadList(everything=True)),
    (" All ", LoadList(everything=True)),
    ("standalone", LoadList()),
    ("", LoadList()),
    ("a.mar", LoadList((StartupModel(None, "a.mar"),))),
    ("a.mar, b=c.mar,", LoadList((StartupModel(None, "a.mar"), StartupModel("b", "c.mar")))),
    ("all,a.mar", LoadList((StartupModel(None, "all"), StartupModel(None, "a.mar")))),
    ("my model=a.mar", LoadList((StartupModel("my model", "a.mar"),))),
    ("team:modèle+1=a.mar", LoadList((StartupModel("team:modèle+1", "a.mar"),))),
    ("_b = a.mar", LoadList((StartupModel("_b", "a.mar"),))),
    ("https://h/a.mar?x=1", LoadList((StartupModel(None, "https://h/a.mar?x=1"),))),
    ("b=https://h/a.mar?x=1", LoadList((StartupModel("b", "https://h/a.mar?x=1"),))),
)


class LoadModelsTests(SynchronousTestCase):
    """``load_models`` is ALL, or a list of archives that may have names."""

    def test_rows(self) -> None:
        for text, expected in ROWS:
            self.assertEqual(parse_load_models(text), expected, text)

    def test_written_list_is_read_again(self) -> None:
        for text, expected in ROWS:
            self.assertEqual(parse_load_models(str(expected)), expected, text)
