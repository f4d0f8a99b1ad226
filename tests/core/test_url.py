"""URLs: their parts, and that no secret is shown."""

import pickle
import re
from urllib.parse import quote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kvbackends import ConfigurationError, open_store
from kvbackends.contract import Host, Secret, StoreURL

SECRET = "s3cret-hunter2"


class TestParsing:
    @pytest.mark.parametrize("prefix", ["", "kv+"])
    def test_every_part_is_parsed(self, prefix: str):
        """A URL with all parts is parsed, with and without ``kv+``."""
        url = StoreURL.parse(f"{prefix}Redis://me:p%40ss@one:1,two:2/a/b?x=1&y=%20z&empty=")
        assert url.scheme == "redis"
        assert url.hosts == (Host("one", 1), Host("two", 2))
        assert (url.username, url.password.reveal()) == ("me", "p@ss")
        assert url.path == "a/b"
        assert url.query == {"x": "1", "y": " z", "empty": ""}
        assert url.raw.reveal() == "Redis://me:p%40ss@one:1,two:2/a/b?x=1&y=%20z&empty="

    @pytest.mark.parametrize(
        ("text", "hosts"),
        [
            ("x://", ()),
            ("x:///a.db", ()),
            ("x://one", (Host("one"),)),
            ("x://one:6379", (Host("one", 6379),)),
            ("x://one,two;three:3", (Host("one"), Host("two"), Host("three", 3))),
            ("x://[::1]:6379", (Host("::1", 6379),)),
            ("x://[::1]", (Host("::1"),)),
            ("x://[fe80::1]:1,[fe80::2]:2", (Host("fe80::1", 1), Host("fe80::2", 2))),
            ("x://u:p@[::1]:6379/0", (Host("::1", 6379),)),
            ("x://one:1;x://two:2/0", (Host("one", 1), Host("two", 2))),
            ("x://:pw@one;x://:pw@two", (Host("one"), Host("two"))),
            ("x://:pw@one/0;x://:pw@two/0", (Host("one"), Host("two"))),
            ("x://u:p@one,u:p@two:2", (Host("one"), Host("two", 2))),
            ("redis+socket:///var/run/redis.sock", ()),
        ],
    )
    def test_hosts_are_parsed(self, text: str, hosts: tuple[Host, ...]):
        """No host, one, several, IPv6, and hosts with the scheme repeated."""
        assert StoreURL.parse(text).hosts == hosts

    @pytest.mark.parametrize(
        ("text", "username", "password"),
        [
            ("x://h", None, None),
            ("x://u@h", "u", None),
            ("x://u:@h", "u", ""),
            ("x://:p@h", None, "p"),
            ("x://u:a:b:c@h", "u", "a:b:c"),
            ("x://u:a,b;c@h", "u", "a,b;c"),
            ("x://u:%2F%3F%23%5B%40@h", "u", "/?#[@"),
            ("x://us%3Aer:%25@h", "us:er", "%"),
            ("x://u:!$&'()*+=@h", "u", "!$&'()*+="),
            ("x://u:пароль@h", "u", "пароль"),
            ("x://u:p@one;x://u2:p2@two", "u", "p"),
            ("x://u:p@one,u:p@two", "u", "p"),
            ("x://u:a%40b@one,u:a%40b@two", "u", "a@b"),
        ],
    )
    def test_credentials_are_parsed(self, text: str, username: str | None, password: str | None):
        """User names and passwords may have special characters, encoded or not."""
        url = StoreURL.parse(text)
        assert url.username == username
        assert (None if url.password is None else url.password.reveal()) == password
        assert url.hosts[0].name in {"h", "one"}

    def test_the_path_is_unquoted(self):
        """A second slash after the hosts belongs to the path."""
        assert StoreURL.parse("sqlite:///a%20b.db").path == "a b.db"
        assert StoreURL.parse("sqlite:////abs/a@b.db").path == "/abs/a@b.db"
        assert StoreURL.parse("sqlite://").path == ""

    @pytest.mark.parametrize("text", ["", "redis", "redis:/x", "://x", "1x://", "a b://x", "kv+"])
    def test_a_malformed_url_is_refused(self, text: str):
        """The error shows what a URL looks like, and does not quote the text."""
        with pytest.raises(ConfigurationError, match="looks like scheme://"):
            StoreURL.parse(text)

    @pytest.mark.parametrize("text", ["x://h:port", "x://h:", "x://h:-1", "x://h:6379x", "x://h:²"])
    def test_a_port_must_be_a_number(self, text: str):
        """Other ports are refused."""
        with pytest.raises(ConfigurationError, match="must be a number"):
            StoreURL.parse(text)

    @pytest.mark.parametrize(
        "password",
        ["12/34", "12?34", "77/xy", "1/2/3", "zz@yy/xx", "12?zz@y", "z@yy", "z#yy", "z%yy", "z%"],
    )
    def test_unencoded_special_characters_are_refused(self, password: str):
        """A password with one of ``/?@#%`` is refused, and no piece of it is shown."""
        with pytest.raises(ConfigurationError) as raised:
            StoreURL.parse(f"x://user:{password}@host/0")
        pieces = {*re.split("[/?@#%]", password)} - {""}
        assert not pieces & {*re.split(r"[\W]", str(raised.value))}
        assert re.search("# as %23, % as %25, .*@ as %40", str(raised.value))

    @pytest.mark.parametrize("text", ["x://u:p@one,u:q@two", "x://user:pa@ss,wo@host"])
    def test_different_credentials_are_refused(self, text: str):
        """So is a password that may contain hosts."""
        with pytest.raises(ConfigurationError, match="different user names or passwords"):
            StoreURL.parse(text)

    @pytest.mark.parametrize("around", [" {}", "{}\n", "\t{} \r\n"])
    def test_blanks_around_a_url_are_ignored(self, around: str):
        """A file of environment variables may have them."""
        url = StoreURL.parse(around.format("kv+x://u:p@h:1/a?b=c"))
        assert url == StoreURL.parse("x://u:p@h:1/a?b=c")

    @pytest.mark.parametrize(
        ("hosts", "told"),
        [
            ("::1", r"in brackets: \[::1\]"),
            ("2001:db8::1:6379", r"in brackets: .*\[::1\]:6379"),
            ("one:1:3", "one:1:3 looks like host:port:weight"),
            ("one:1,two:2:3", "two:2:3 looks like host:port:weight"),
            ("unix:/run/x.sock", "three slashes"),
        ],
    )
    def test_other_addresses_are_told_how_to_be_written(self, hosts: str, told: str):
        """An address without brackets, a weight, and a socket in place of a host are refused."""
        with pytest.raises(ConfigurationError, match=told):
            StoreURL.parse(f"x://{hosts}")

    def test_a_url_with_another_path_keeps_its_options(self):
        """So does its raw form."""
        url = StoreURL.parse("sqlite:///a.db?x=%20y").at_path("/b c.db")
        assert (str(url), url.path) == ("sqlite:////b%20c.db?x=%20y", "/b c.db")
        assert url.raw.reveal() == "sqlite:////b%20c.db?x=%20y"

    def test_a_printed_url_can_be_parsed_again(self):
        """`str` of a URL without secrets is the URL."""
        text = "x://one:1,[::1]:2/a%20b?x=1&y=2"
        assert str(StoreURL.parse(text)) == text
        assert StoreURL.parse(str(StoreURL.parse(text))).hosts == StoreURL.parse(text).hosts


def shown(value: object) -> str:
    """Return everything that printing, logging and formatting show of a value."""
    again = pickle.loads(pickle.dumps(value))
    texts = [str(value), repr(value), f"{value}", f"{value!r}", "%s" % value, "%r" % (value,)]  # noqa: UP031
    return "\n".join([*texts, str(again), repr(again), repr([value]), repr({"k": value})])


class TestSecrets:
    @pytest.mark.parametrize(
        "text",
        [
            f"x://user:{SECRET}@host/0",
            f"x://:{SECRET}@one,two:2",
            f"x://u:{SECRET}@one;x://u:{SECRET}@two",
            f"x://one;x://u:{SECRET}@two/0",
            f"x://host/0?password={SECRET}",
            f"x://host/0?sentinel_password={SECRET}&db=1",
            f"x://host?api_key={SECRET}",
            f"x://host?ApiKey={SECRET}",
            f"x://host?token={SECRET}&bearer_auth={SECRET}",
            f"x://host?credential={SECRET}&sig={SECRET}&pw={SECRET}",
            f"x://host?proxy=http://user:{SECRET}@proxy:1",
            f"x://host?aws_secret_access={SECRET}",
            f'x://host?sentinel_kwargs={{"password": "{SECRET}"}}',
        ],
    )
    def test_a_secret_is_never_shown(self, text: str):
        """No text made from a URL shows a secret, in credentials or in an option."""
        assert SECRET not in shown(StoreURL.parse(text))

    @settings(max_examples=200, derandomize=True, database=None, deadline=None)
    @given(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=6, max_size=30),
        st.sampled_from(
            ["x://u:{}@h/0", "x://:{}@a,b:1", "x://u:{}@a;x://u:{}@b", "x://h?token={}"]
        ),
    )
    def test_any_password_is_parsed_and_never_shown(self, secret: str, template: str):
        """Any text, percent-encoded, arrives unchanged."""
        assume(secret not in shown(StoreURL.parse(template.format("**", "**"))))
        text = quote(secret, safe="")
        url = StoreURL.parse(template.format(text, text))
        found = url.password if url.password is not None else Secret(url.query["token"])
        assert found.reveal() == secret
        assert secret not in shown(url)
        assert text not in shown(url)

    def test_a_secret_is_a_string(self):
        """A secret compares like its text, also after pickling, and shows only ``**``."""
        secret = pickle.loads(pickle.dumps(Secret(SECRET)))
        assert type(secret) is Secret
        assert secret == SECRET
        assert secret.reveal() == SECRET
        assert type(secret.reveal()) is str
        assert SECRET not in shown(secret)
        assert f"{secret:>10}" == "**"

    @pytest.mark.parametrize(
        "text",
        [
            f"nosuchscheme://u:{SECRET}@host",
            f"memory://u:{SECRET}@host?nosuch=1",
            f"memory://u:{SECRET}@host?retry={SECRET}",
            f"memory://u:{SECRET}@host:port",
            f"memory:/u:{SECRET}@host",
            f"memory://u:12/{SECRET}@host",
            f"memory://u:12?{SECRET}@host",
        ],
    )
    def test_errors_do_not_quote_the_url(self, text: str):
        """No error, cause or context contains the secret."""
        with pytest.raises(ConfigurationError) as raised:
            open_store(text)
        error: BaseException | None = raised.value
        while error is not None:
            assert SECRET not in f"{error} {error!r}"
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_a_drivers_words_are_redacted():
    """Neither the password nor a secret option is left, also percent-encoded."""
    url = StoreURL.parse("redis://u:p%40ss%2Fw@h:1/0?token=a%2Fb")
    words = "refused p@ss/w of redis://u:p%40ss%2Fw@h:1/0?token=a%2Fb and a/b"
    assert url.redacted(words) == "refused ** of redis://u:**@h:1/0?token=** and **"
