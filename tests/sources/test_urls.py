"""URLs have one normal form."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from modelserver.sources.urls import NormalUrl, is_url

NORMAL_FORMS = [
    ("http://h/x.mar", "http://h/x.mar"),
    ("HTTP://Models.Example.COM/X.mar", "http://models.example.com/X.mar"),
    ("http://h", "http://h/"),
    ("http://h?a=b", "http://h/?a=b"),
    ("http://h:80/x", "http://h/x"),
    ("http://h:/x", "http://h/x"),
    ("https://h:443/x", "https://h/x"),
    ("https://h:80/x", "https://h:80/x"),
    ("http://h./x", "http://h/x"),
    ("http://h/a/./b/../c", "http://h/a/c"),
    ("http://h/../../x", "http://h/x"),
    ("http://h/a/..", "http://h/"),
    ("http://h/a/.", "http://h/a/"),
    ("http://h/a/%2e%2E/x", "http://h/x"),
    ("http://h/%7Euser/%61", "http://h/~user/a"),
    ("http://h/a%2fb", "http://h/a%2Fb"),
    ("http://h/a b", "http://h/a%20b"),
    ("http://h/ü", "http://h/%C3%BC"),
    ("http://h/x#part", "http://h/x"),
    ("http://h/x?sig=a%2fb%3D&t=%41", "http://h/x?sig=a%2Fb%3D&t=A"),
    ("http://bücher.example/", "http://xn--bcher-kva.example/"),
    ("http://ⓛocalhost/", "http://localhost/"),
    ("http://\uff11\uff12\uff17.0.0.1/", "http://127.0.0.1/"),
    ("http://127\u30020\u30020\u30021/", "http://127.0.0.1/"),
    ("http://2130706433/", "http://127.0.0.1/"),
    ("http://0x7f000001/", "http://127.0.0.1/"),
    ("http://0x7F.1/", "http://127.0.0.1/"),
    ("http://0177.0.0.01/", "http://127.0.0.1/"),
    ("http://127.1/", "http://127.0.0.1/"),
    ("http://10.1.2/", "http://10.1.0.2/"),
    ("http://0/", "http://0.0.0.0/"),
    ("http://[::1]:8080/", "http://[::1]:8080/"),
    ("http://[0:0:0:0:0:0:0:1]/", "http://[::1]/"),
    ("http://[::FFFF:127.0.0.1]/", "http://127.0.0.1/"),
    ("http://my_service:8000/x", "http://my_service:8000/x"),
    ("file:///models/x.mar", "file:///models/x.mar"),
    ("FILE://localhost/models//x.mar", "file:///models//x.mar"),
    ("file:///models/./a%20b", "file:///models/a%20b"),
]
MALFORMED = [
    "x.mar",
    "http:/h/x",
    "http:///x",
    "http://user@h/x",
    "http://user:password@h/x",
    "http://allowed.example@evil.example/x",
    "http://h:0/x",
    "http://h:65536/x",
    "http://h:80:80/x",
    "http://h:\uff180/x",
    "http://h\\@evil/x",
    "http://h/\tx",
    "http://h/x\n",
    "http://h\x00/x",
    "http://a..b/",
    "http://-a/",
    "http://a-/",
    "http://a%2eb/",
    "http://a b/",
    "http://1.2.3.4.5/",
    "http://256.0.0.1/",
    "http://1.0x/",
    "http://08.0.0.1/",
    "http://a.1/",
    "http://4294967296/",
    "http://[::1/",
    "http://[fe80::1%25eth0]/",
    "http://[fe80::1%eth0]/",
    "http://[127.0.0.1]/",
    "http://h/%zz",
    "http://h/%2",
    "http://h/\ud800",
    "http://" + "a." * 130 + "example/",
    "http://h/" + "x" * 9000,
    "file://other/x.mar",
]


class NormalFormTests(SynchronousTestCase):
    """What leads to the same place has the same text."""

    def test_normal_forms(self) -> None:
        for text, normal in NORMAL_FORMS:
            with self.subTest(text=text):
                self.assertEqual(str(NormalUrl.parse(text)), normal)

    def test_normal_form_of_a_normal_form_is_itself(self) -> None:
        for text, _ in NORMAL_FORMS:
            with self.subTest(text=text):
                normal = NormalUrl.parse(text)
                self.assertEqual(NormalUrl.parse(str(normal)), normal)

    def test_malformed_urls_have_none(self) -> None:
        for text in MALFORMED:
            with self.subTest(text=text):
                self.assertRaises(ValueError, NormalUrl.parse, text)

    @given(st.text(max_size=40), st.text(max_size=40))
    def test_any_text_is_malformed_or_has_one_normal_form(self, host: str, path: str) -> None:
        try:
            normal = NormalUrl.parse(f"http://{host}/{path}")
        except ValueError:
            return
        self.assertEqual(NormalUrl.parse(str(normal)), normal)
        self.assertTrue(str(normal).isascii())


class PartsTests(SynchronousTestCase):
    """What is asked of a URL."""

    def test_file_name_is_the_last_component_decoded(self) -> None:
        self.assertEqual(NormalUrl.parse("http://h/a/my%20model.mar?b/c.mar").file_name, "my model.mar")
        self.assertEqual(NormalUrl.parse("http://h/a/").file_name, "")
        self.assertEqual(NormalUrl.parse("http://h/a%2F..%2Fb").file_name, "a/../b")

    def test_origin_tells_servers_apart(self) -> None:
        origin = NormalUrl.parse("http://h/x").origin
        self.assertEqual(NormalUrl.parse("http://H:80/y").origin, origin)
        for other in ("https://h/x", "http://h:81/x", "http://i/x"):
            self.assertNotEqual(NormalUrl.parse(other).origin, origin)

    def test_redirects_may_be_relative(self) -> None:
        url = NormalUrl.parse("http://h/a/b.mar?q")
        for location, target in [
            ("c.mar", "http://h/a/c.mar"),
            ("../c.mar", "http://h/c.mar"),
            ("//i/c.mar", "http://i/c.mar"),
            ("https://i/c", "https://i/c"),
        ]:
            self.assertEqual(str(url.joined(location)), target)
        for location in ("http://h\\@i/", "\x00", "mailto:x"):
            self.assertRaises(ValueError, url.joined, location)

    def test_names_of_the_store_are_no_urls(self) -> None:
        for name in ("x.mar", "a/b.mar", "/a/b.mar", "http:/h/x.mar", "C:\\x.mar", ""):
            self.assertFalse(is_url(name), name)
        for url in ("http://h/x", "FILE:///x", "s3://bucket/x", "ftp://h/x"):
            self.assertTrue(is_url(url), url)
