"""Options: the order of their sources, and the errors for wrong values."""

from typing import Annotated, Any, ClassVar, Literal

import msgspec
import pytest

from kvbackends import InvalidOption, UnknownOption, open_store
from kvbackends.contract import Options, option
from kvbackends.contract.options import CoreOptions, check_known, declared, fill
from kvbackends.contract.url import StoreURL
from kvbackends.plugins.opening import core_options


class Some(Options, frozen=True, kw_only=True):
    timeout: Annotated[float, option("Seconds to connect.", setting="some_timeout")] = 5.0
    level: Annotated[Literal["low", "high"], option("How much.", secret=True)] = "low"
    name: str = "unknown"
    flag: Annotated[bool, option("Whether.")] = False
    count: Annotated[int, msgspec.Meta(gt=0)] | None = None


class Driver(Options, frozen=True, kw_only=True):
    extra: ClassVar[Literal["refuse", "driver"]] = "driver"
    mine: int = 1
    driver_options: dict[str, str] = {}  # noqa: RUF012 - a Struct copies it


class TestPrecedence:
    SETTINGS: ClassVar[dict[str, Any]] = {
        "some_timeout": 3,
        "result_backend_transport_options": {"timeout": 2},
    }

    def test_the_url_is_first(self):
        """The URL's query wins."""
        assert fill(Some, {"timeout": "1"}, self.SETTINGS).timeout == 1

    def test_transport_options_are_second(self):
        """`result_backend_transport_options` apply if the URL has no value."""
        assert fill(Some, {}, self.SETTINGS).timeout == 2

    def test_the_celery_setting_is_third(self):
        """The Celery setting that the option names applies next."""
        assert fill(Some, {}, {"some_timeout": 3}).timeout == 3

    def test_the_default_is_last(self):
        """A setting of None counts as missing."""
        assert fill(Some, {}, {"some_timeout": None}).timeout == 5
        assert fill(Some, {}, {"result_backend_transport_options": None}) == Some()

    def test_a_setting_is_no_option_name(self):
        """The Celery setting's name is not an option of the URL."""
        with pytest.raises(UnknownOption):
            check_known("some", Some, ["some_timeout"])


class TestValues:
    @pytest.mark.parametrize(
        ("text", "value"), [("1", True), ("0", False), ("true", True), ("False", False)]
    )
    def test_flags_are_numbers_or_words(self, text: str, value: bool):
        """A flag is 1, 0, true or false."""
        assert fill(Some, {"flag": text}, {}).flag is value

    def test_numbers_are_converted(self):
        """A number in a URL is text that is converted; null is None."""
        filled = fill(Some, {"timeout": "1e-3", "count": "7"}, {})
        assert (filled.timeout, filled.count) == (0.001, 7)
        assert fill(Some, {"count": "null"}, {}).count is None

    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            ("timeout", "hunter2", "Expected `float`.*Seconds to connect"),
            ("timeout", [1], "Expected `float`"),
            ("flag", "hunter2", "Expected 1, true, 0 or false"),
            ("count", "hunter2", "Expected `int"),
            ("count", "0", ">= 1"),
            ("level", "hunter2", "Expected one of 'low', 'high'"),
            ("name", 5, "Expected `str`"),
        ],
    )
    def test_a_wrong_value_is_described_and_not_shown(
        self, name: str, value: object, expected: str
    ):
        """The error names the option and the expected type, and never the value."""
        with pytest.raises(InvalidOption, match=f"option '{name}': .*{expected}") as raised:
            fill(Some, {}, {"result_backend_transport_options": {name: value}})
        assert "hunter2" not in str(raised.value)
        assert raised.value.__suppress_context__

    @pytest.mark.parametrize(
        "query",
        [
            "retry_timeout=-1",
            "retry_attempts=-1",
            "claim_lease=0",
            "retry_first_ms=-1",
            "retry=maybe",
        ],
    )
    def test_core_options_have_bounds(self, query: str):
        """Times and counts must not be negative."""
        with pytest.raises(InvalidOption, match=query.partition("=")[0]):
            open_store(f"memory://?{query}")


class TestUnknown:
    def test_the_error_lists_the_valid_options(self):
        """The error has the unknown name, the nearest valid one and all valid ones."""
        with pytest.raises(UnknownOption) as raised:
            check_known("some", Some, ["timeuot"])
        message = str(raised.value)
        assert "some:// has no option 'timeuot'; did you mean 'timeout'?" in message
        assert all(each.name in message for each in [*declared(Some), *declared(CoreOptions)])

    def test_without_a_similar_name_no_guess_is_made(self):
        """The error has no "did you mean"."""
        with pytest.raises(UnknownOption, match=r"'zzz'\. Valid options: "):
            check_known("some", Some, ["zzz"])

    def test_opening_a_store_refuses_unknown_options(self):
        """`open_store` raises before anything is connected."""
        with pytest.raises(UnknownOption, match="'retry_timeout'"):
            open_store("memory://?retry_timeut=1")

    def test_undeclared_options_go_to_the_driver(self):
        """With `extra = "driver"` undeclared options are passed on; those of the core are not."""
        query = {"mine": "2", "w": "majority", "retry": "0", "tls": "true"}
        check_known("driver", Driver, query)
        filled = fill(Driver, query, {})
        assert filled.mine == 2
        assert filled.driver_options == {"w": "majority", "tls": "true"}


class TestCore:
    def test_celerys_retry_settings_apply(self):
        """Celery's own retry settings keep their meaning."""
        settings = {
            "result_backend_max_retries": 7,
            "result_backend_base_sleep_between_retries_ms": 5,
            "result_backend_max_sleep_between_retries_ms": 500,
        }
        core = core_options(StoreURL.parse("memory://?claim_lease=9"), settings)
        assert (core.retry_attempts, core.retry_first_ms, core.retry_longest_ms) == (7, 5, 500)
        assert core.claim_lease == 9
        unbounded = core_options(
            StoreURL.parse("x://"), {"result_backend_max_retries": float("inf")}
        )
        assert unbounded.retry_attempts == float("inf")

    def test_retry_0_removes_the_retry_layer(self):
        """The retry layer is the outermost one, unless the URL has `retry=0`."""
        from kvbackends.layers.retry import Retry

        assert isinstance(open_store("memory://"), Retry)
        assert not isinstance(open_store("memory://?retry=0"), Retry)

    def test_every_core_option_is_described(self):
        """The reference has a sentence for each option."""
        assert all(each.help.endswith(".") for each in declared(CoreOptions))

    def test_declared_yields_name_help_setting_and_secret(self):
        """A field without `option` has empty values."""
        timeout, level, name, *_ = declared(Some)
        assert (timeout.name, timeout.help, timeout.setting) == (
            "timeout",
            "Seconds to connect.",
            "some_timeout",
        )
        assert level.secret
        assert (name.help, name.setting, name.secret) == ("", None, False)
