"""A template is somebody else's program: its work is bounded, and it reaches nothing outside."""

from __future__ import annotations

import signal
import threading

import pytest

from arriero.core.errors import TemplateError
from arriero.core.request import Message
from arriero.text import limits
from arriero.text.chat_template import ChatTemplate

USER = Message(role="user", content="Hi" * 100)

LOOPS = "{% for i in range(99999) %}{% for j in range(99999) %}{% for k in range(99999) %}{% endfor %}"
ENDLESS = LOOPS + "{% endfor %}{% endfor %}"

ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__']['__mro__'] }}",
    "{{ messages.__class__.__base__ }}",
    "{{ (''|attr('__class__')).__mro__ }}",
    "{{ raise_exception.__globals__['os'] }}",
    "{{ cycler.__init__.__globals__.os }}",
    "{{ '{0.__class__.__mro__}'.format(1) }}",
    "{{ ('%s' | format(namespace)).__class__.__mro__ }}",
    "{{ messages.clear() }}",
    "{{ messages[0].update({'role': 'x'}) }}",
    "{{ self.__init__.__globals__ }}",
    "{{ lipsum(5) }}",
    "{{ 'x'.encode() * 9 }}",
    "{{ (1).to_bytes(9, 'big') }}",
]

HUGE = [
    "{{ 'x' * 10**9 }}",
    "{{ 10**9 * 'x' }}",
    "{{ [1] * 10**9 }}",
    "{{ 10 ** (10 ** 8) }}",
    "{% set ns = namespace(n=10**100) %}{% for i in range(60) %}{% set ns.n = ns.n * ns.n %}{% endfor %}",
    "{% set ns = namespace(s='x'*1000) %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    "{% set ns = namespace(s='x'*1000) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "{% set ns = namespace(s='x'*1000) %}{% for i in range(60) %}{% set ns.s = ns.s.replace('x', ns.s) %}{% endfor %}",
    "{% set ns = namespace(s='x'*1000) %}{% for i in range(60) %}{% set ns.s = ns.s|replace('x', ns.s) %}{% endfor %}",
    "{% set ns = namespace(s='x'*9) %}{% for i in range(60) %}{% set ns.s %}{{ns.s}}{{ ns.s }}{% endset %}{% endfor %}",
    "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
    "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}",
    "{% set l = [] %}{% for i in range(60) %}{% set _ = l.append(l) %}{% endfor %}{{ l }}",
    "{{ 'x'.ljust(10**9) }}",
    "{{ 'x'.zfill(width=10**9) }}",
    "{{ 'x' | center(10**9) }}",
    "{{ '\n' | indent(10**9, true, true) }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '%*d' % (1000000000, 1) }}",
    "{{ '%1000000000d' | format(1) }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ '{:{}}'.format(1, 1000000000) }}",
    "{{ '\t'.expandtabs(10**9) }}",
    "{{ [1] | batch(10**9, 'x') | list }}",
    "{{ [1] | slice(10**9) | list }}",
    "{{ {'a': 1} | tojson(indent=10**9) }}",
    "{{ range(10**9) | list }}",
    "{{ ('x' * 10**7).join(['a'] * 10**5) }}",
    "{{ (['a'] * 10**5) | join('x' * 10**7) }}",
    "{{ ('x' * 1000000).translate({120: 'y' * 1000000}) }}",
    "{{ ('%(a)s' * 100000) % {'a': 'x' * 1000000} }}",
    "{{ ('%(a)s' * 100000) | format(a='x' * 1000000) }}",
    "{{ ('{0}' * 100000).format('x' * 1000000) }}",
    "{{ ['x' * 1000000] * 100000 }}",
    "{{ (['x' * 1000000] * 100000) | tojson }}",
    "{{ [['x' * 1000000] * 100] | join }}",
    "{{ ''.join(range(99999) | map('replace', 1, 'x' * 1000000)) }}",
    "{% set n=namespace(l=[1] * 99999) %}{% for i in range(99)%}{%set n.l=[n.l]%}{% endfor %}{{n.l|tojson(indent=9)}}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "{% for x in range(9000) recursive %}{{ loop(range(9000)) }}{% endfor %}",
]

# What C code would compare for hours, deaf to the timer: long texts that differ at their ends, lists grown in secret.
PAIR = "{% set a = 'x' * 9999999 ~ 'a' %}{% set b = 'x' * 9999999 ~ 'b' %}"
SECRET = (
    "{% set ns = namespace(a=[0], b=[0]) %}{% for i in range(60) %}"
    "{% set x = [] %}{% set _ = x.append(ns.a) %}{% set _ = x.append(ns.a) %}{% set ns.a = x %}"
    "{% set y = [] %}{% set _ = y.append(ns.b) %}{% set _ = y.append(ns.b) %}{% set ns.b = y %}"
    "{% endfor %}{{ ns.a == ns.b }}"
)
SLOW = [
    SECRET,
    PAIR + "{{ [a] * 99999 == [b] * 99999 }}",
    PAIR + "{{ b in [a] * 99999 }}",
    PAIR + "{{ ([a] * 99999) is eq([b] * 99999) }}",
    PAIR + "{{ ([a] * 99999).count(b) }}",
    PAIR + "{{ ([a, b] * 9999) | sort | length }}",
    PAIR + "{{ {1: [a] * 99999}.items() == {1: [b] * 99999}.items() }}",
]
# Each text is allowed; all of them together are not.
KEPT = "{%% set ns = namespace(l=none) %%}{%% for i in range(9999) %%}{%% set ns.l = (ns.l, %s) %%}{%% endfor %%}"
KEPT_TEXTS = ["'x' * 9999", "(i | string) | center(9999)", "'%9999d' % i", "('x' * 9999)[i:]", "'x'.ljust(9999)"]


@pytest.mark.parametrize("source", ESCAPES)
def test_nothing_outside_is_reached(source: str) -> None:
    with pytest.raises(TemplateError):
        ChatTemplate(source).render([USER])


@pytest.mark.parametrize("source", HUGE)
def test_huge_values_are_refused(source: str) -> None:
    with pytest.raises(TemplateError):
        ChatTemplate(source).render([USER], deadline_s=20)


@pytest.mark.parametrize("source", SLOW)
def test_no_comparison_takes_hours(source: str) -> None:
    with pytest.raises(TemplateError, match=r"the chat template was stopped: a (text|value) of more than"):
        ChatTemplate(source).render([USER], deadline_s=20)


@pytest.mark.parametrize("text", KEPT_TEXTS)
def test_what_a_template_keeps_is_bounded(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_MADE", 300_000)
    with pytest.raises(TemplateError, match="texts of more than 300000 characters together"):
        ChatTemplate(KEPT % text).render([USER], deadline_s=20)


def test_the_prompt_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arriero.text.chat_template.MAX_CHARS", 1000)
    template = ChatTemplate("{% for i in range(99) %}{{ messages[0].content }}{% endfor %}")
    with pytest.raises(TemplateError, match="a prompt of more than 1000 characters"):
        template.render([USER])


def test_endless_loops_run_out_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_STEPS", 10_000)
    with pytest.raises(TemplateError, match="more than 10000 steps"):
        ChatTemplate(ENDLESS).render([USER], deadline_s=60)


def test_endless_loops_run_out_of_time() -> None:
    with pytest.raises(TemplateError, match=r"longer than 0\.05 s"):
        ChatTemplate(ENDLESS).render([USER], deadline_s=0.05)


def test_time_is_bounded_outside_the_main_thread_too() -> None:
    """No signal reaches another thread: the hooks look at the clock."""
    told: list[str] = []

    def render() -> None:
        try:
            ChatTemplate(ENDLESS).render([USER], deadline_s=0.05)
        except TemplateError as error:
            told.append(error.message)

    thread = threading.Thread(target=render)
    thread.start()
    thread.join()
    assert told == ["the chat template took longer than 0.05 s"]


def test_the_timer_of_others_is_put_back() -> None:
    rang = threading.Event()
    before = signal.signal(signal.SIGALRM, lambda *_: rang.set())
    try:
        signal.setitimer(signal.ITIMER_REAL, 3600)
        ChatTemplate(None).render([USER], deadline_s=5)
        left, _ = signal.getitimer(signal.ITIMER_REAL)
        assert 3500 < left <= 3600
        signal.raise_signal(signal.SIGALRM)
        assert rang.is_set()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_the_signal_interrupts_what_no_hook_sees() -> None:
    with pytest.raises(limits.TimeUp), limits.time_limit(0.05):
        threading.Event().wait(60)


def test_a_private_attribute_prints_as_nothing() -> None:
    assert ChatTemplate("{{ raise_exception.__globals__ }}").render([USER]) == ""


def test_half_a_character_is_neither_told_nor_shown() -> None:
    """What no UTF-8 stands for could not be sent: it would end the worker."""
    with pytest.raises(TemplateError, match=r"refuses these messages: a\?b"):
        ChatTemplate("{{ raise_exception('a\\ud800b') }}").render([USER])
    assert ChatTemplate("{{ 'é\\ud800b' }}").render([USER]) == "é?b"


def test_what_a_template_says_is_told_in_part() -> None:
    with pytest.raises(TemplateError) as told:
        ChatTemplate("{{ raise_exception('x' * 99999) }}").render([USER])
    assert len(told.value.message) == 2000
